"""Decision: facts about one call -> Verdict. Pure: no clock, no socket, no Trio, no storage.

model    what a verdict is; decide: the one function that makes it
typed_lines  keys and echo -> lines, with a stop before each line end (edited_line, screen_line); command: judges them
argv     what an exec runs, the allow-list; files: kubectl cp; ports: port-forward (word_glob: globs)
masking  what is hidden
"""
