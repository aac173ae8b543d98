"""Awaits a run at a terminal of its own, and answers what is asked there.

usage: terminal.py PROMPT ANSWER [PROMPT ANSWER ...] -- COMMAND [WORD ...]

An ANSWER that begins with `secret:` is typed, without that, as soon as the terminal shows no longer what is typed; `^D` ends the input, and `^C` is what it is.
One that begins with `sh:` is a command that is run meanwhile, and nothing is typed; one that begins with `part:` is typed without the end of a line.
Prints what was on the screen, and ends as the command did, with 98 if it left the terminal otherwise than it was, or with 97 if a prompt did not come.
"""

import os
import pty
import signal
import subprocess
import sys
import termios
import time

words = sys.argv[1:]
cut = words.index("--")
dialogue = list(zip(words[:cut:2], words[1:cut:2]))


def type_in(answer):
    if answer == "^D":
        os.write(screen, b"\x04")
        return
    if answer == "^C":
        os.write(screen, b"\x03")
        return
    if answer.startswith("sh:"):
        subprocess.run(answer.removeprefix("sh:"), shell=True, check=True, stdout=subprocess.DEVNULL)
        return
    if answer.startswith("part:"):
        os.write(screen, answer.removeprefix("part:").encode())
        return
    if answer.startswith("secret:"):
        answer = answer.removeprefix("secret:")
        while termios.tcgetattr(screen)[3] & termios.ECHO:
            time.sleep(0.005)
    os.write(screen, answer.encode() + b"\n")


def give_up(*_):
    print(f"still waiting for {[prompt for prompt, _ in dialogue]}; on the screen:", file=sys.stderr)
    sys.stderr.flush()
    sys.stderr.buffer.write(shown)
    sys.stderr.buffer.flush()
    os.kill(process, signal.SIGKILL)
    os._exit(97)


# The command begins when it is known how the terminal was.
known, tell = os.pipe()
process, screen = pty.fork()
if process == 0:
    os.read(known, 1)
    os.execvp(words[cut + 1], words[cut + 1 :])
before = termios.tcgetattr(screen)
os.write(tell, b".")
shown, seen = b"", 0
# What does not come about within this time will not.
signal.signal(signal.SIGALRM, give_up)
signal.alarm(120)
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
code = os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])
sys.exit(code if termios.tcgetattr(screen) == before else 98)
