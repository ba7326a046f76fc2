"""Every error looplet raises, in one tree. Knows nothing of the rest of the package.

::

    LoopletError
    ├── MissingExtra             (ImportError)   an optional dependency is not installed
    ├── ToolValidationError      (ValueError)    a tool refuses its arguments
    ├── RunCancelled                             a cancel token was set
    ├── BackendError             (RuntimeError)  a provider could not be asked
    │   ├── BackendUnreachable   (ConnectionError)  nobody answers there, or a reply broke off
    │   ├── BackendTimeout       (TimeoutError)  no answer in the time allowed
    │   ├── BackendRefused                        the provider answered with an error status
    │   ├── RetryExhausted                        every attempt at a call failed
    │   └── UnknownBackend       (ValueError)    a router was told a name that it does not have
    ├── LLMResponsesExhausted    (LookupError)   a scripted backend has no reply left
    ├── CassetteError                            a cassette cannot be used
    │   ├── CassetteDamaged      (ValueError)    its bytes are not what was written
    │   └── CassetteMissing      (FileNotFoundError)  there is nothing to replay
    ├── StoreError                               a trajectory dataset cannot be used
    │   ├── StoreDamaged         (ValueError)    a part file is not what was written
    │   └── UnknownSchema        (ValueError)    written by a looplet this one does not know
    ├── TraceError                               a trace directory cannot be used
    │   ├── TraceMissing         (FileNotFoundError)  there is no trace at that path
    │   ├── TraceDamaged         (ValueError)    a file of it cannot be read
    │   ├── UnknownTraceVersion  (ValueError)    written by a looplet this one does not know
    │   ├── TraceUnwritable      (OSError)       a file of it cannot be written
    │   ├── TraceTaken           (RuntimeError)  another run writes into the same directory
    │   └── TraceUnplayable      (RuntimeError)  a replay asks for what was not recorded
    │       └── ReplyCut         (ValueError)    a recorded reply is not whole
    ├── ImporterError                            what was asked to be imported cannot be
    │   ├── SourceMissing        (FileNotFoundError)  there is nothing at that path
    │   └── UnknownFormat        (ValueError)    a format was named that there is not
    ├── SkillError               (ValueError)    a skill or a bundle cannot be used
    │   ├── SkillMissing         (KeyError)      there is no skill of that name
    │   ├── EntrypointMissing    (FileNotFoundError)  a bundle's entrypoint is not there
    │   ├── NoAgent              (TypeError)     an entrypoint builds no agent
    │   └── FileThere            (FileExistsError)  a file would be replaced, and nobody asked
    ├── ExporterError                            runs cannot be exported as was asked
    │   ├── FolderTaken          (FileExistsError)  there is something in the folder already
    │   └── UnknownTarget        (ValueError)    a format was named that there is not
    ├── CheckpointError          (ValueError)    a checkpoint cannot be used
    ├── RedactionError           (ValueError)    what redaction was given cannot be used
    ├── RecorderReused           (RuntimeError)  a recorder that holds a run was handed another
    ├── EvalError                                an eval cannot be collected or run
    │   ├── CasesMissing         (FileNotFoundError)  there are no cases at that path
    │   └── CasesDamaged         (ValueError)    cases cannot be read, or are none
    ├── StatisticsError          (ValueError)    numbers from which nothing can be concluded
    │   └── ReplaysCounted                       replays of one recording were counted as trials
    └── NotEvaluable                             an eval's own word: there is nothing to judge

    Divergence                   (BaseException) a replay asked for what was not recorded

``Divergence`` stands outside the tree: it must end a run even where code around the loop
catches ``Exception`` and tries again. It is defined in ``looplet.replay.divergence``.
"""

from __future__ import annotations


class LoopletError(Exception):
    """Base of every error that looplet raises on purpose."""


class MissingExtra(LoopletError, ImportError):
    """An optional dependency is needed and not installed.

    >>> print(MissingExtra("openai", needed_for="OpenAIBackend"))
    OpenAIBackend needs the package 'openai'. Install it with: pip install "looplet[openai]"
    """

    def __init__(self, package: str, *, needed_for: str, extra: str | None = None) -> None:
        self.package = package
        self.extra = extra or package
        super().__init__(
            f"{needed_for} needs the package {package!r}. "
            f'Install it with: pip install "looplet[{self.extra}]"'
        )


class ToolValidationError(LoopletError, ValueError):
    """A tool refuses its arguments; the text reaches the model without a prefix."""


class RunCancelled(LoopletError):
    """The cancel token of this run, or of this tool's call, was set."""


class BackendError(LoopletError, RuntimeError):
    """A provider could not be asked; ``status`` is its HTTP status, if it gave one."""

    def __init__(
        self, message: str, *, status: int | None = None, retry_after: float | None = None
    ) -> None:
        self.status = status
        self.retry_after = retry_after
        super().__init__(message)


class BackendUnreachable(BackendError, ConnectionError):
    """Nobody answers at the backend's address, or the line broke off in the middle of a reply."""


class BackendTimeout(BackendError, TimeoutError):
    """The backend did not answer in the time that its client allows."""


class BackendRefused(BackendError):
    """The provider answered with an error status, or with something that is not a reply."""


class RetryExhausted(BackendError):
    """Every attempt at a call failed; the last failure is the cause.

    ``attempts`` is how many there were, ``status`` and ``retry_after`` are the last one's.
    """

    def __init__(
        self,
        message: str,
        *,
        attempts: int,
        status: int | None = None,
        retry_after: float | None = None,
    ) -> None:
        self.attempts = attempts
        super().__init__(message, status=status, retry_after=retry_after)


class UnknownBackend(BackendError, ValueError):
    """A router was told a backend's name that it does not have."""


class LLMResponsesExhausted(LoopletError, LookupError):
    """A scripted backend was asked more often than it has replies."""


class CassetteError(LoopletError):
    """A cassette cannot be used."""


class CassetteDamaged(CassetteError, ValueError):
    """A cassette's bytes are not what was written. The file is left as it is."""


class CassetteMissing(CassetteError, FileNotFoundError):
    """There is no cassette to replay at that path."""


class StoreError(LoopletError):
    """A trajectory dataset cannot be used."""


class StoreDamaged(StoreError, ValueError):
    """A part file of a dataset is not what was written."""


class UnknownSchema(StoreError, ValueError):
    """A dataset was written with a schema version that this looplet does not know."""


class TraceError(LoopletError):
    """A trace directory cannot be used."""


class TraceMissing(TraceError, FileNotFoundError):
    """There is no trace directory at that path, or none with what is wanted."""


class TraceDamaged(TraceError, ValueError):
    """A file of a trace directory cannot be read. It is left as it is."""


class UnknownTraceVersion(TraceError, ValueError):
    """A trace directory has a schema version that this looplet does not know."""


class TraceUnwritable(TraceError, OSError):
    """A trace directory cannot be written: no room, no permission, or no directory."""


class TraceTaken(TraceError, RuntimeError):
    """Another run has begun in the directory that a run is being written to."""


class TraceUnplayable(TraceError, RuntimeError):
    """A replay asked for what was not recorded, or was recorded otherwise; no model was asked."""


class ReplyCut(TraceUnplayable, ValueError):
    """A recorded reply was cut by ``max_chars_per_call``, so that it cannot be replayed."""


class ImporterError(LoopletError):
    """What was asked to be imported cannot be; a problem within it is reported, not raised."""


class SourceMissing(ImporterError, FileNotFoundError):
    """There is nothing to import at that path."""


class UnknownFormat(ImporterError, ValueError):
    """A format to import was named that there is not."""


class ExporterError(LoopletError):
    """Runs cannot be exported as was asked; what a format cannot hold is told, not raised."""


class FolderTaken(ExporterError, FileExistsError):
    """There is something where the files of an export are to be."""


class UnknownTarget(ExporterError, ValueError):
    """A format to export was named that there is not."""


class EvalError(LoopletError):
    """An eval cannot be collected or run."""


class StatisticsError(LoopletError, ValueError):
    """A statistic was asked of numbers that cannot give it."""


class ReplaysCounted(StatisticsError):
    """Replays of one recording were given as several trials."""


class CasesMissing(EvalError, FileNotFoundError):
    """There are no cases at that path."""


class CasesDamaged(EvalError, ValueError):
    """Cases cannot be read, or two have one id. The file is left as it is."""


class SkillError(LoopletError, ValueError):
    """A skill or a bundle cannot be used."""


class SkillMissing(SkillError, KeyError):
    """There is no skill of that name."""

    __str__ = Exception.__str__  # KeyError's own would quote the text


class EntrypointMissing(SkillError, FileNotFoundError):
    """A bundle's entrypoint, or its ``SKILL.md``, is not there."""

    __str__ = Exception.__str__


class NoAgent(SkillError, TypeError):
    """An entrypoint has no ``build``, or what it builds is no agent."""


class FileThere(SkillError, FileExistsError):
    """A file would have to be replaced, and nobody asked for that."""

    __str__ = Exception.__str__


class CheckpointError(LoopletError, ValueError):
    """A checkpoint cannot be used: it is damaged, unknown, or another task's."""


class RedactionError(LoopletError, ValueError):
    """Secrets, patterns or a function that redaction was given cannot be used."""


class RecorderReused(LoopletError, RuntimeError):
    """A recorder that has a run in it was handed another."""


class NotEvaluable(LoopletError):
    """What an eval needs is not in the run, so there is nothing to judge; never a score of 0.

    An eval raises it: ``raise NotEvaluable("the task has no expected price")``.
    """
