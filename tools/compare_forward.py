"""The forward passes of two networks, compared layer by layer: portproof/cli/forward.py."""

from portproof.system import errors
from tools.project import command

main = command("forward")

if __name__ == "__main__":
    errors.run(main)
