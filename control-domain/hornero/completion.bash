# SPDX-License-Identifier: MIT
# bash completion of hornero(8)
_hornero()
{
	local word=${COMP_WORDS[COMP_CWORD]}

	if [ "$COMP_CWORD" = 1 ]; then
		mapfile -t COMPREPLY < <(compgen -W "boot check info log present report settings stats vms --help" -- "$word")
		return
	fi
	case ${COMP_WORDS[1]} in
	boot) mapfile -t COMPREPLY < <(compgen -W "--once --default --linux --help" -- "$word") ;;
	check | info) mapfile -t COMPREPLY < <(compgen -W "--json --help" -- "$word") ;;
	log) mapfile -t COMPREPLY < <(compgen -W "--crash --follow --json --help" -- "$word") ;;
	stats) mapfile -t COMPREPLY < <(compgen -W "--interval --json --help" -- "$word") ;;
	vms) mapfile -t COMPREPLY < <(compgen -W "--json --destroy --help" -- "$word") ;;
	settings)
		mapfile -t COMPREPLY < <(compgen -W "--shell --help" -- "$word"; compgen -f -- "$word") ;;
	report) mapfile -t COMPREPLY < <(compgen -W "--help" -- "$word"; compgen -f -- "$word") ;;
	esac
}
complete -F _hornero hornero
