"""The gradient check for other people's test suites."""

from __future__ import annotations

from typing import Any


def assert_gradients(subject: Any, x: Any, **options: Any) -> None:
    """Fail with a diagnosis unless every gradient is right: ``assert_gradients(f, x, backward=…)``.

    The arguments are those of :func:`tinyae.gradcheck.diagnose`.

    Raises
        AssertionError  a gradient is wrong, or nothing was compared; the message is the diagnosis
    """
    __tracebackhide__ = True  # pytest shows the caller's line
    from tinyae.gradcheck.doctor import diagnose  # when it is wanted: the doctor is large

    diagnosis = diagnose(subject, x, **options)
    if not diagnosis.ok:
        raise AssertionError(str(diagnosis))
