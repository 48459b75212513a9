#!/usr/bin/env python3
"""Guard: files of at most 600 lines, functions of at most 70, lines of at most 100 columns."""
import ast
import re
import sys

import source

FILE_LINES_MAX = 600
FUNCTION_LINES_MAX = 70
COLUMNS_MAX = 100
# S() : a{  and  S() : a{1}, b<int>{
MEMBER_INITIALISER = re.compile(r"\)[^;]*(?<!:):(?!:)[^;]*[\w>]\s*$")
NOT_A_FUNCTION = re.compile(r"\b(namespace|class|struct|enum|union|extern|concept)\b|=\s*$")


def cpp_functions(text):
    """(first line, last line) of each function body outside of any other function.

    A brace opens a function when a ')' stands between it and the end of what was before, and no
    keyword makes it a type or a namespace; an initialiser after '=' is a table, not a function.
    """
    code = re.sub(r"^[ \t]*#(?:[^\n\\]|\\.|\\\n)*", lambda m: re.sub(r"[^\n]", " ", m.group(0)),
                  source.strip_cpp(text), flags=re.M)
    stack, start, head_at = [], 0, 0
    for match in re.finditer(r"[{};]", code):
        at, sign = match.start(), match.group(0)
        head = code[head_at:at]
        if sign == "{" and MEMBER_INITIALISER.search(head):
            stack.append("initialiser")
        elif sign == "{":
            is_function = ")" in head and not NOT_A_FUNCTION.search(head.split("(")[0])
            is_function = is_function and not head.rstrip().endswith("=")
            if is_function and "function" not in stack:
                start = code.count("\n", 0, at - len(head.lstrip())) + 1
            stack.append("function" if is_function or "function" in stack else "scope")
        elif sign == "}" and stack:
            if stack.pop() == "function" and "function" not in stack:
                yield start, code.count("\n", 0, at) + 1
            if code[at + 1:at + 40].lstrip()[:1] in (",", "{") and "function" not in stack:
                continue  # the head of a constructor goes on after a{1}
        head_at = at + 1 if "initialiser" not in stack else head_at


def python_functions(text):
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            yield node.lineno, node.end_lineno


def functions(kind, text):
    if kind == "cpp":
        return cpp_functions(text)
    return python_functions(text) if kind == "python" else ()


def faults_of(path, kind, text):
    lines = text.splitlines()
    if len(lines) > FILE_LINES_MAX:
        yield path, 1, f"{len(lines)} lines, at most {FILE_LINES_MAX}: split it by concern"
    for number, line in enumerate(lines, 1):
        if len(line) > COLUMNS_MAX:
            yield path, number, f"{len(line)} columns, at most {COLUMNS_MAX}"
    for first, last in functions(kind, text):
        if last - first + 1 > FUNCTION_LINES_MAX:
            yield (path, first, f"function of {last - first + 1} lines, at most "
                   f"{FUNCTION_LINES_MAX}: move its steps into named helpers")


def main():
    root = source.arguments(__doc__).root
    faults = []
    for kind in ("cpp", "python", "shell"):
        for path in source.of_kind(kind, root):
            faults += faults_of(path, kind, source.read(path, root))
    return source.report(faults)


if __name__ == "__main__":
    sys.exit(main())
