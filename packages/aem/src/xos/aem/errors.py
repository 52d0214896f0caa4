# SPDX-License-Identifier: BSD-3-Clause
"""The errors of Application Execution Management. Each class is one sentence: when it is raised."""

from __future__ import annotations

from xos.common.errors import XosError


class AemError(XosError):
    """Root of what AEM's services raise."""

    code = "aem.error"


# --- jobs ------------------------------------------------------------------------------------------------------------


class UnknownJob(AemError):
    """Raised when no job of that id is kept here."""

    code = "aem.unknown-job"
    template = "no job {job_id}"
    hint = "xps lists your jobs."
    http_status = 404


class NotYourJob(AemError):
    """Raised when the caller neither owns the job nor administers its VO."""

    code = "aem.not-your-job"
    template = "job {job_id} is not {caller}'s"
    hint = "A job's owner, and a VOAdmin or VOManager of its VO, may see and cancel it."
    http_status = 403


class JobRefused(AemError):
    """Raised when an order can never become a job, whoever tries how often."""

    code = "aem.job-refused"
    template = "job refused: {detail}"
    http_status = 400


class OrderTooLarge(JobRefused):
    """Raised when an order with its input files is larger than a Job Manager takes."""

    code = "aem.order-too-large"
    template = "the order is {size} bytes, {limit} are allowed"
    hint = "Small files travel with the job; keep large ones in a file system that the nodes mount."
    http_status = 413


class TooManyUnits(JobRefused):
    """Raised when a job asks for more units than a Job Manager takes in one job."""

    code = "aem.too-many-units"
    template = "the job asks for {units} units, {limit} are allowed in one job"
    hint = "TotalResourceCount is the number of nodes that run one unit each."


class TooManyJobs(AemError):
    """Raised when a user has as many unended jobs as the Job Manager allows."""

    code = "aem.too-many-jobs"
    template = "{owner} has {jobs} jobs that have not ended, {limit} are allowed"
    hint = "Submit again when some have ended; xps lists them."
    http_status = 429
    retry_after_ms = 1000


# --- nodes and units -------------------------------------------------------------------------------------------------


class NoSlot(AemError):
    """Raised when every slot of the node is in use or held."""

    code = "aem.no-slot"
    template = "{node} has no free slot ({used}/{slots} used)"
    http_status = 409


class DoesNotFit(AemError):
    """Raised when the node could not run the unit even if it were empty."""

    code = "aem.does-not-fit"
    template = "{node} cannot run this: {detail}"
    http_status = 409


class UnknownUnit(AemError):
    """Raised when the node never heard of that unit."""

    code = "aem.unknown-unit"
    template = "no unit {unit_id} here"
    http_status = 404


class NotYourUnit(AemError):
    """Raised when the caller neither owns the unit's job nor administers its VO."""

    code = "aem.not-your-unit"
    template = "unit {unit_id} is not {caller}'s"
    http_status = 403


class UnitRefused(AemError):
    """Raised when a node will never run the unit it was ordered: bad signature, bad certificate, node policy."""

    code = "aem.unit-refused"
    template = "{node} refuses {unit_id}: {detail}"
    http_status = 403


class RulingNeeded(AemError):
    """Raised when a unit comes without a ruling of VOPS that still holds; with a new one it may start."""

    code = "aem.ruling-needed"
    template = "{node} needs a new ruling of VOPS for {unit_id}: {detail}"
    http_status = 403


class NoAccount(AemError):
    """Raised when a node has given away every local account that its administrator set aside for VO users."""

    code = "aem.no-account"
    template = "no account is left for {user}@{vo}: {first} to {last} are in use"
    hint = "Raise last_uid in the settings of the node's ExecutionManager."
    http_status = 507


class WorkUnreachable(AemError):
    """Raised when the accounts that jobs run under cannot enter the directory of their working directories."""

    code = "aem.work-unreachable"
    template = "jobs cannot work in {path}: their accounts may not enter {closed}"
    hint = "Name another directory as work in the settings of ExecutionManager, or run chmod o+x on that one."
    exit_status = 78


class UnknownLauncher(AemError):
    """Raised when a node's configuration names a launcher that does not exist."""

    code = "aem.unknown-launcher"
    template = "no launcher is called {name}; there are: {known}"
    exit_status = 78


class AccountRefused(AemError):
    """Raised when the account mapping service of a node gives the user of a job no account; `detail` says why."""

    code = "aem.account-refused"
    template = "{detail}"
    hint = "Ask the node's administrator, or choose other nodes."
    http_status = 403


class UnknownAccounts(AemError):
    """Raised when a node's configuration names a source of accounts that does not exist."""

    code = "aem.unknown-accounts"
    template = "no accounts are called {name}; there are: {known}"
    exit_status = 78


class NoOutput(AemError):
    """Raised when a unit has no such stream, or no such file that may be shown."""

    code = "aem.no-output"
    template = "unit {unit_id} has no {stream!r}"
    hint = "There are “output”, “error”, and the files that the job stages out."
    http_status = 404


# --- job descriptions ------------------------------------------------------------------------------------------------


class JsdlError(AemError):
    """Raised when a job description cannot be understood; the leaf classes say where and why."""

    code = "aem.jsdl"
    template = "job description: {detail}"
    http_status = 400
    exit_status = 2
