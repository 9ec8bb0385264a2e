"""Segments encrypted as HLS does it: AES-128 in CBC mode with padding (RFC 8216, 5.2)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.padding import PKCS7

if TYPE_CHECKING:
    from streamer.connectors.sources.web import Body

BLOCK_BITS: Final = 128
PIECE: Final = 16384


class Decrypted:
    """Gives a stream's bytes in the clear.

    Args:
        stream: Encrypted bytes; closed with this.
        key: 16 bytes.
        start: The initialization vector, 16 bytes.

    Raises:
        ValueError: Key or vector has another length.
    """

    def __init__(self, stream: Body, key: bytes, start: bytes) -> None:
        if len(key) * 8 != BLOCK_BITS or len(start) * 8 != BLOCK_BITS:
            raise ValueError("AES-128 has keys and vectors of 16 bytes")
        self._stream = stream
        self._cipher = Cipher(algorithms.AES(key), modes.CBC(start)).decryptor()
        self._padding = PKCS7(BLOCK_BITS).unpadder()
        self._clear = b""
        self._ended = False

    def read(self, size: int = -1, /) -> bytes:
        """Waits for bytes.

        Args:
            size: At most so many.
        """
        while not self._clear and not self._ended:
            data = self._stream.read(PIECE)
            if data:
                self._clear = self._padding.update(self._cipher.update(data))
            else:
                self._ended = True
                self._clear = self._last()
        size = size if size > 0 else len(self._clear)
        given, self._clear = self._clear[:size], self._clear[size:]
        return given

    def _last(self) -> bytes:
        try:
            rest = self._padding.update(self._cipher.finalize())
            return rest + self._padding.finalize()
        except ValueError:
            # Cut short, or not with this key: the demuxer sees what has come and judges that.
            return b""

    def seekable(self) -> bool:
        """Never."""
        return False

    def close(self) -> None:
        """Gives the connection up."""
        self._stream.close()
