"""A toy pod: its files, its log, a shell of some thirty commands. Python only, no process is started.

shell          runs argv and scripts; shell_syntax reads them
process        what a command sees; streams the pipes between them; terminal a tty
commands       the table of commands; commands_text, condition, tar_command the larger ones
filetree       files in memory; files reads them; archive is tar as a stream
podlog         log lines
"""
