"""`test` and `[`: conditions on files, strings and numbers."""

from gateway.demo.standin.pod.process import Process


async def run_test(process: Process) -> int:
    """0 true, 1 false, 2 not understood."""
    words = process.argv[1:]
    if process.argv[0].endswith("["):
        if not words or words.pop() != "]":
            return 2
    negated = bool(words) and words[0] == "!"
    words = words[1:] if negated else words
    result = _decide(process, words)
    return result if result > 1 else int(bool(result) is not negated)


def _decide(process: Process, words: list[str]) -> int:
    """0 true, 1 false, 2 not understood."""
    if len(words) == 1:
        return 0 if words[0] else 1
    if len(words) == 2:
        node = process.tree.find(process.resolve(words[1]))
        answers = {
            "-d": node is not None and node.is_directory,
            "-f": node is not None and not node.is_directory,
            "-e": node is not None,
            "-s": node is not None and node.size_bytes > 0,
            "-n": words[1] != "",
            "-z": words[1] == "",
            "-t": process.terminal is not None,
        }
        return 2 if words[0] not in answers else int(not answers[words[0]])
    if len(words) == 3 and words[1] in ("=", "==", "!="):
        return int((words[0] == words[2]) is (words[1] == "!="))
    numeric = len(words) == 3 and all(word.lstrip("-").isdigit() for word in (words[0], words[2]))
    if numeric and words[1] in ("-eq", "-ne", "-lt", "-gt", "-le", "-ge"):
        left, right = int(words[0]), int(words[2])
        compared = {
            "-eq": left == right,
            "-ne": left != right,
            "-lt": left < right,
            "-gt": left > right,
            "-le": left <= right,
            "-ge": left >= right,
        }
        return int(not compared[words[1]])
    return 2
