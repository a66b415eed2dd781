"""What two loaders give, compared sample by sample: portproof/cli/data.py."""

from portproof.system import errors
from tools.project import command

main = command("data")

if __name__ == "__main__":
    errors.run(main)
