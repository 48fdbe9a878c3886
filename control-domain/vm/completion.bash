# SPDX-License-Identifier: MIT
# bash completion of vm(1). Commands and options are taken from the command's own help.
_vm()
{
	local word=${COMP_WORDS[COMP_CWORD]} before=${COMP_WORDS[COMP_CWORD - 1]} command=${COMP_WORDS[1]}

	if [ "$COMP_CWORD" = 1 ]; then
		mapfile -t COMPREPLY < <(compgen -W "$(vm --help | sed -n 's/^  \([a-z, ]*[a-z]\)   *[^ ].*/\1/p' | tr -d ,) --help" -- "$word")
		return
	fi
	case $before in
	--image) mapfile -t COMPREPLY < <(compgen -W "$(vm image list | sed 1d | cut -d' ' -f1)" -- "$word"); return ;;
	--net | -n) mapfile -t COMPREPLY < <(compgen -W "none $(vm net list | sed 1d | cut -d' ' -f1)" -- "$word"); return ;;
	--sort) mapfile -t COMPREPLY < <(compgen -W "cpu exits memory disk net name" -- "$word"); return ;;
	--kernel | --initrd | --disk | -d | --cloud-init) mapfile -t COMPREPLY < <(compgen -f -- "$word"); return ;;
	esac
	case $word in
	-*)
		mapfile -t COMPREPLY < <(compgen -W \
			"$(vm "$command" --help | grep -o -- '--[a-z0-9][a-z0-9-]*' | sort -u)" -- "$word")
		return ;;
	esac
	case $command$COMP_CWORD in
	disk3) mapfile -t COMPREPLY < <(compgen -W "add remove resize" -- "$word"); return ;;
	autostart3) mapfile -t COMPREPLY < <(compgen -W no -- "$word"); return ;;
	esac
	case $command in
	list | ls | top | create) ;;
	run) mapfile -t COMPREPLY < <(compgen -W "$(vm list -q; vm image list | sed 1d | cut -d' ' -f1)" -- "$word") ;;
	image) mapfile -t COMPREPLY < <(compgen -W "list import delete" -- "$word"; compgen -f -- "$word") ;;
	net) mapfile -t COMPREPLY < <(compgen -W "list create confirm delete" -- "$word") ;;
	*)
		mapfile -t COMPREPLY < <(compgen -W "$(vm list -q)" -- "$word")
		[ "$COMP_CWORD" = 2 ] || mapfile -t -O "${#COMPREPLY[@]}" COMPREPLY < <(compgen -f -- "$word")
		;;
	esac
}
complete -F _vm vm
