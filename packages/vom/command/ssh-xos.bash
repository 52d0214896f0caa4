# SPDX-License-Identifier: BSD-3-Clause
# ssh-xos is completed as ssh is (bash-completion 2.12 and later, and before).
if declare -F _comp_load >/dev/null; then
    _comp_load ssh && complete -F _comp_cmd_ssh ssh-xos
elif declare -F _completion_loader >/dev/null; then
    _completion_loader ssh
    complete -F _ssh ssh-xos
fi
