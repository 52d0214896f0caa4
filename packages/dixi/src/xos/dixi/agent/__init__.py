# SPDX-License-Identifier: BSD-3-Clause
"""`xos-agent`: one per user, as ssh-agent is. Holds certificate and key, keeps connections warm, runs commands.

`protocol` is what travels over its socket, `client` and ``command/xos-command.c`` the two clients, `server` the
socket's other end, `keeper` what it keeps in memory, `renewal` when a new certificate is due, `process` how it
protects and detaches itself, `cli` the command ``xos-agent``.
"""
