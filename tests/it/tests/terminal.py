"""Awaits a run at a terminal of its own, and answers what is asked there.

usage: terminal.py PROMPT ANSWER [PROMPT ANSWER ...] -- COMMAND [WORD ...]

An ANSWER that begins with `secret:` is typed, without that, as soon as the terminal shows no longer what is typed; `^D` ends the input.
Prints what was on the screen, and ends as the command did.
"""

import os
import pty
import signal
import sys
import termios
import time

# What does not come about within this time will not.
signal.alarm(120)
words = sys.argv[1:]
cut = words.index("--")
dialogue = list(zip(words[:cut:2], words[1:cut:2]))


def type_in(answer):
    if answer == "^D":
        os.write(screen, b"\x04")
        return
    if answer.startswith("secret:"):
        answer = answer.removeprefix("secret:")
        while termios.tcgetattr(screen)[3] & termios.ECHO:
            time.sleep(0.005)
    os.write(screen, answer.encode() + b"\n")


process, screen = pty.fork()
if process == 0:
    os.execvp(words[cut + 1], words[cut + 1 :])
shown, seen = b"", 0
while True:
    try:
        part = os.read(screen, 4096)
    except OSError:
        part = b""
    if not part:
        break
    shown += part
    while dialogue and dialogue[0][0].encode() in shown[seen:]:
        prompt, answer = dialogue.pop(0)
        seen = shown.index(prompt.encode(), seen) + len(prompt)
        type_in(answer)
sys.stdout.buffer.write(shown)
sys.stdout.flush()
sys.exit(os.waitstatus_to_exitcode(os.waitpid(process, 0)[1]))
