# SPDX-License-Identifier: BSD-3-Clause
"""``xconsole``: any call of any service, by what the service itself says it offers.

`command` is the command, `shell` its interactive form, `completion` what can come next, `catalogue` the descriptions
that are installed here, `output` how results are shown, `scripts` what makes shells complete.
"""
