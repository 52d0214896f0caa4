# SPDX-License-Identifier: BSD-3-Clause
"""The code processor: from service descriptions to clients, console data and reference pages.

One module per output. Each has one function from descriptions to the text of a file, and knows nothing of the others;
an output in another language is one more such module.
"""
