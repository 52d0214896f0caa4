# SPDX-License-Identifier: BSD-3-Clause
"""What ``--help`` and the man pages say of answer files; a test sees to it that no key is missing."""

ANSWER_FILE = """\
answer file:
  TOML. Unknown keys and values that make no sense are refused, with their line, before anything is done.
  role = "core"                      core, resource, client or web
  hostname = "core1"                 (resource: the join word names the machine)
  address = "10.0.0.1"               where other nodes reach it (found out)
  [network]                          a fixed address instead of DHCP
  address = "10.0.0.1/24"
  gateway = "10.0.0.254"
  dns = ["10.0.0.254"]
  interface = "en*"                  name or pattern
  [system]
  root_password_hash = "$6$..."      what `openssl passwd -6` prints
  [core]
  vo = "demo"                        create this VO,
  administrator = "carol"            and this user, its administrator
  administrator_password = "..."     (one is made up: /root/xos-administrator-password)
  ca_key = "pkcs11:token=..."        the VO CA's key is in a PKCS#11 token, not in a file (xos-vom's README)
  database = "postgresql://..."      the VO database is in PostgreSQL, not in an SQLite file
  nodes = ["node1", "node2"]         make their join words, good for a week: /root/xos-join-words/NAME
  pages = ["https://vo.example.org"] web pages elsewhere where people sign in by certificate
  [resource]
  token = "xos1-..."                 what `xos-node token NAME` printed on the core
  core = "core1.example.org"         without a word: ask this core to let the machine in;
  ca_fingerprint = "..."             root there must approve it (xos-resource approve)
  wait_minutes = 60                  how long to wait for that
  slots = 4                          job units at once (one for each processor)
  vos = ["demo"]                     VOs whose users may use the machine (xos-map serve VO adds others)
  [client]
  core = "core1.example.org"         name or address of the core
  ca_fingerprint = "..."             as `xos-setup show` prints it on the core
  [web]
  token = "xos1-..."                 what `xos-node token NAME` printed on the core
  url = "https://vo.example.org"     what people type (made from the address)
  certificate = "/etc/xos/web.pem"   one that browsers know (the machine's own is shown),
  key = "/etc/xos/web.key"           and its key
  [install]                          for xos-install(8)
  disk = "/dev/vda"                  all that is on it is lost; no other disk is touched
  flavour = "core"                   core, resource or client (what the medium is)
  then = "reboot"                    reboot, poweroff or nothing
"""
CHANNELS = """\
where answers come from:
  Without a hand on the machine, the first of these that has any (xos-firstboot.service, xos-install.service):
  1. /etc/xos/answers.toml
  2. the systemd credential xos.answers: of a virtual machine by SMBIOS or fw_cfg,
     qemu -smbios type=11,value=io.systemd.credential.binary:xos.answers=$(base64 -w0 answers.toml)
  3. kernel arguments: xos.role=core xos.core.vo=demo xos.core.nodes=node1,node2
  4. a volume labelled CIDATA (cloud-init, NoCloud): answers.toml, or user-data with a section xos
"""
SETUP = f"""\
{ANSWER_FILE}
{CHANNELS}
files:
  /etc/xos/core.toml, and others     configuration of the daemon
  /etc/xos/client.toml, ca.pem       what the commands of every user begin with
  /var/lib/xos/setup.json            what this machine has become; without it the next boot looks for answers
"""
INSTALL = f"""\
{ANSWER_FILE}
{CHANNELS}
files:
  /run/live/medium                   the medium: system, signed repository, boot code
  /var/log/xos-install.log           all that the programs it ran have said
"""
