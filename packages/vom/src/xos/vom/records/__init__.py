# SPDX-License-Identifier: BSD-3-Clause
"""What must not be changed afterwards: usage records and administrative acts, in chains; and the policies' history."""
