"""The policy that tests/clients/test_policy.py runs kubectl under: one rule for each thing a person can see of it."""

from typing import Final

POLICY: Final = """
apiVersion: kubetape/v1
kind: Policy
metadata: {name: house}
detectors:
- {name: staff-id, re2: "EMP-[0-9]{6}"}
- {name: log-word, re2: "msg=(served)", group: 1}
rules:
- name: discovery
  match: {paths: ["*"], verbs: [get]}
  action: allow
- name: people-read
  match: {verbs: [get, list, watch], resources: ["*"], namespaces: ["*"]}
  action: allow
- name: people-write
  match: {verbs: [create, update, patch, delete], resources: [configmaps, secrets], namespaces: [default, payments]}
  action: allow
- name: people-run
  match: {verbs: [create, get], resources: [pods/exec, pods/attach, pods/portforward], namespaces: [default, payments]}
  action: allow
- name: no-deletes-in-prod
  match: {verbs: [delete, deletecollection], namespaces: [prod]}
  action: {deny: production is only changed by the pipeline}
- name: no-exec-in-prod
  match: {resources: [pods/exec, pods/attach], namespaces: [prod]}
  action: {deny: nobody enters production}
- name: deletes-are-looked-at
  match: {verbs: [delete], resources: [configmaps], names: ["held-*"]}
  action: {hold: {approvers: {groups: [sre]}, wait: 1m, reason: deletes are looked at}}
- name: exec-is-looked-at
  match: {resources: [pods/exec], namespaces: [kube-system]}
  action: {hold: {approvers: {groups: [sre]}, wait: 1m}}
- name: forward-is-looked-at
  match: {resources: [pods/portforward], namespaces: [kube-system]}
  action: {hold: {approvers: {groups: [sre]}, wait: 1m}}
- name: hide-secrets
  match: {resources: [secrets]}
  action: {mask: {paths: ["data.*", "stringData.*"]}}
- name: hide-staff
  match: {resources: [configmaps, pods/exec, pods/attach, pods/log, pods]}
  action: {mask: {detectors: [staff-id]}}
- name: hide-in-logs
  match: {resources: [pods/log]}
  action: {mask: {detectors: [log-word]}}
- name: no-keys-copied
  match: {resources: [pods/exec]}
  action: {files: {names: ["*.pem", "*/customers.csv"], reason: keys stay where they are}}
- name: some-ports
  match: {resources: [pods/portforward]}
  action: {ports: [80]}
- name: typed-lines
  match: {resources: [pods/exec]}
  action:
    commands:
    - {pattern: "drop table", do: deny, reason: not by hand}
    - {pattern: "whoami", do: alert}
    - {pattern: "echo careful", do: hold, reason: two pairs of eyes, hold: {approvers: {groups: [sre]}, wait: 1m}}
- name: soon-forbidden
  match: {verbs: [list], resources: [services]}
  mode: shadow
  action: {deny: services are read by name soon}
"""
