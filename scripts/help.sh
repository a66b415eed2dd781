# Help of the scripts, which source this file.

# Print the comment at the head of a script.
show_head() {
    sed -n '2,/^[^#]/s/^# \{0,1\}//p' "$1"
}

# Where a script of a clone that is not set up is asked for help, print its head and end: nobody waits
# for gigabytes to see the options. Arguments: the script, and its own.
help_before_setup() {
    local script=$1
    shift
    case " $* " in
        *" --help "* | *" -h "*) ;;
        *) return 0 ;;
    esac
    [ ! -f "$(dirname "$script")/../.venv/.complete" ] || return 0
    show_head "$script"
    printf '\nThe same shows every option once the project is set up: bash scripts/setup.sh\n'
    exit 0
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
