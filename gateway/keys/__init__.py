"""Where data keys come from and what opens them: settings, a key service, keys handed between processes.

settings   what the operator decides, checked
opening    settings -> what makes data keys; files at hand -> what opens them
kms        AWS KMS, the one module that knows boto3 for it
memory     keys of this run, for an indexer that cannot open envelopes
"""
