"""Which sink a device's options name. Pure: nothing is opened here."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .file import FileSink
from .options import DISCARD, STDOUT
from .position import Position
from .sink import DiscardSink, StdoutSink
from .socket import SocketSink
from .syslog import SyslogSink

if TYPE_CHECKING:
    from pathlib import PurePath

    from .options import DeviceOptions
    from .sink import Sink


def sink_for(directory: PurePath, options: DeviceOptions, node: str, device: str) -> Sink:
    """The sink that the options name."""
    if options.endpoint is not None:
        position = Position(directory, node, device, options.file)
        if options.syslog is not None:
            return SyslogSink(options.endpoint, options.syslog, position, node)
        return SocketSink(options.endpoint, position)
    if options.target == DISCARD:
        return DiscardSink()
    if options.target == STDOUT:
        return StdoutSink()
    return FileSink(directory, options, node, device)
