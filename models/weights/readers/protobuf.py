"""The wire format of protocol buffers, as far as reading tensors needs it."""

from __future__ import annotations

Field = int | bytes
Message = dict[int, list[Field]]


def read_varint(data: bytes, offset: int) -> tuple[int, int]:
    """Reads a base-128 number.

    Args:
        data: The buffer.
        offset: Where the number starts.

    Returns:
        The number (below 2⁶⁴) and the offset after it.

    Raises:
        ValueError: The buffer ends, or the number is too long.
    """
    value = 0
    for index in range(10):
        if offset >= len(data):
            raise ValueError("truncated number")
        byte = data[offset]
        offset += 1
        value |= (byte & 0x7F) << (7 * index)
        if byte < 0x80:
            return value, offset
    raise ValueError("number too long")


def read_message(data: bytes) -> Message:
    """Splits a message into its fields.

    Args:
        data: The message.

    Returns:
        Field number → values in order; a number, or the bytes of a string, a nested message, a
        packed list or a fixed-width value.

    Raises:
        ValueError: It is not a message.
    """
    fields: Message = {}
    offset = 0
    while offset < len(data):
        tag, offset = read_varint(data, offset)
        number, wire = tag >> 3, tag & 7
        value: Field
        if wire == 0:
            value, offset = read_varint(data, offset)
        elif wire in (1, 2, 5):
            if wire == 2:
                size, offset = read_varint(data, offset)
            else:
                size = 8 if wire == 1 else 4
            if size > len(data) - offset:
                raise ValueError("truncated field")
            value, offset = data[offset : offset + size], offset + size
        else:
            raise ValueError(f"unknown wire type {wire}")
        fields.setdefault(number, []).append(value)
    return fields


def numbers(message: Message, field: int) -> list[int]:
    """All numbers of a repeated field, packed or not.

    Args:
        message: From `read_message`.
        field: Its number.

    Returns:
        The numbers, in order.

    Raises:
        ValueError: A packed list is damaged.
    """
    found: list[int] = []
    for value in message.get(field, []):
        if isinstance(value, int):
            found.append(value)
            continue
        offset = 0
        while offset < len(value):
            number, offset = read_varint(value, offset)
            found.append(number)
    return found


def number(message: Message, field: int, default: int = 0) -> int:
    """The last number of a field.

    Args:
        message: From `read_message`.
        field: Its number.
        default: When the field is absent.

    Returns:
        The number.

    Raises:
        ValueError: A packed list is damaged.
    """
    found = numbers(message, field)
    return found[-1] if found else default


def chunks(message: Message, field: int) -> list[bytes]:
    """All byte strings of a repeated field.

    Args:
        message: From `read_message`.
        field: Its number.

    Returns:
        The byte strings, in order.

    Raises:
        ValueError: The field holds numbers.
    """
    found = message.get(field, [])
    if any(isinstance(value, int) for value in found):
        raise ValueError(f"field {field} is not bytes")
    return [value for value in found if isinstance(value, bytes)]


def text(message: Message, field: int) -> str:
    """A string field, empty when absent.

    Args:
        message: From `read_message`.
        field: Its number.

    Returns:
        The string.

    Raises:
        ValueError: It is not UTF-8.
    """
    found = chunks(message, field)
    return found[-1].decode("utf-8") if found else ""
