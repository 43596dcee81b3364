"""Decision: facts about one call -> Verdict. Pure: no clock, no socket, no Trio, no storage.

model         what a decision is made from, and what it is: Facts, Verdict
decide        Policy: the rules of all files, an index over them, the one decision; observe mode
assembly      the rules that matched -> a Verdict: what beats what
rule          one compiled rule, and the three answers it gives
matching      `match:` -> tests; with globs, resources, surroundings (time, networks)
condition     `when:` in CEL
actions       `action:` -> what a rule brings about
hints         what would be allowed instead; explain: why each rule is or is not about a call

load          files -> Policy, or every mistake; with syntax (the words), reading (text), match_checks, problems
cases         a test of a file -> facts; testing runs them; schema: the JSON Schema
packs/        policies that come with kubetape (docs/policy-packs.md); lint: ways out that a policy leaves open
compare       two sets of files -> what changes; flips: which tests end differently
hindsight     a recorded call -> what a policy would have said, or why that cannot be told; replaying: does it flip

typed_lines  keys and echo -> lines, with a stop before each line end (edited_line, screen_line); command: judges them
argv     what an exec runs, the allow-list; files: kubectl cp; ports: port-forward (word_glob: globs)
masking       what is hidden, of values and of streams
"""
