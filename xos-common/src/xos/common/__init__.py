# SPDX-License-Identifier: BSD-3-Clause
"""The ground floor: XOS-Certificates, trust, TLS, configuration, errors, storage, journal."""
