# What the scripts share, which source this file.

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd -P)
pythons="python3.13 python3.12 python3.11 python3.10 python3 python" # where PYTHON names none

is_in_range() {
    "$1" -c 'import sys; sys.exit(not (3, 10) <= sys.version_info[:2] <= (3, 13))' 2>/dev/null
}

# Say whether help is asked for.
wants_help() {
    [[ " $* " == *" --help "* || " $* " == *" -h "* ]]
}

# Print the comment at the head of a script.
show_head() {
    sed -n '2,/^[^#]/s/^# \{0,1\}//p' "$1"
}

# Print what setup.sh writes down first as it ends: where .venv belongs, and what it was made of.
made_of() {
    echo "$1"
    cksum <"$1/pyproject.toml"
    cksum <"$1/scripts/setup.sh"
}

# Where a script of a clone that is not set up, or no longer is, is asked for help, print its head and
# end: nobody waits for gigabytes to see the options. Arguments: the script, and its own.
help_before_setup() {
    local script=$1
    shift
    wants_help "$@" || return 0
    [ "$(head -n 3 "$root/.venv/.complete" 2>/dev/null)" != "$(made_of "$root")" ] || return 0
    show_head "$script"
    printf '\nThe same shows every option once the project is set up: bash scripts/setup.sh\n'
    exit 0
}

# Run Python with these arguments, of which the script's own are the last; set up at first use.
run_python() {
    help_before_setup "$0" "$@"
    bash "$root/scripts/setup.sh"
    exec "$root/.venv/bin/python" "$@"
}

# End with a script's head where help is asked for, and with one line at any other argument.
no_options() {
    local script=$1
    shift
    case ${1:-} in
        "") return 0 ;;
        -h | --help)
            show_head "$script"
            exit 0
            ;;
    esac
    echo "${script##*/}: error: no option $1; usage: bash scripts/${script##*/}" >&2
    exit 2
}
