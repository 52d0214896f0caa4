# SPDX-License-Identifier: BSD-3-Clause
"""The Metadata and Replica Catalog: names, attributes, and who may do what with them."""
