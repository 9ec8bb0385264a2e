"""Which containers may be opened: those that hold media, not those that name other files.

Playlists and scripts (HLS, DASH, concat, SDP, image sequences, lavfi …) would let a hostile
input open other files or addresses; still pictures and subtitles are not films.
"""

from __future__ import annotations

from typing import Final

CONTAINERS: Final[frozenset[str]] = frozenset(
    {
        # Names as the demuxers spell them; one with commas is one demuxer.
        "aac", "ac3", "aiff", "amr", "amrnb", "amrwb", "apng", "asf", "au", "av1", "avi", "caf",
        "dnxhd", "dts", "dv", "eac3", "flac", "flv", "gif", "gxf", "h264", "hevc", "ivf", "m4v",
        "matroska,webm", "mjpeg", "mov,mp4,m4a,3gp,3g2,mj2", "mp3", "mpeg", "mpegts",
        "mpegvideo", "mxf", "nut", "nsv", "obu", "ogg", "rm", "swf", "truehd", "vc1", "voc",
        "w64", "wav", "wtv", "wv", "yuv4mpegpipe",
    }
)  # fmt: skip

DECLARES_DURATION: Final[frozenset[str]] = frozenset(
    {"asf", "avi", "caf", "flv", "matroska,webm", "mov,mp4,m4a,3gp,3g2,mj2", "w64", "wav"}
)
"""Containers whose header says how long the whole is; others' duration is an estimate."""


def whitelist(more: frozenset[str] = frozenset()) -> str:
    """The demuxer option ``format_whitelist``.

    Args:
        more: Allowed besides the containers.
    """
    return ",".join(sorted(CONTAINERS | more))
