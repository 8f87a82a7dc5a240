"""WebM files, as far as the tests need them: one whose clusters lie far apart.

A WebM file is EBML (RFC 8794): elements of an id, a size and a content, which may be elements again. The names below
are those of Matroska (RFC 9559).
"""

EBML, SEGMENT, VOID = 0x1A45DFA3, 0x18538067, 0xEC
SEEK_HEAD, SEEK, SEEK_ID, SEEK_POSITION = 0x114D9B74, 0x4DBB, 0x53AB, 0x53AC
INFO, TRACKS = 0x1549A966, 0x1654AE6B
CLUSTER, TIMESTAMP = 0x1F43B675, 0xE7
CUES, CUE_POINT, CUE_TIME, CUE_TRACK_POSITIONS, CUE_TRACK, CUE_CLUSTER_POSITION = (
    0x1C53BB6B, 0xBB, 0xB3, 0xB7, 0xF7, 0xF1)


def elements(data):
    """Yields (id, content, the whole element) of each element in `data`."""
    position = 0
    while position < len(data):
        begin = position
        length = 9 - data[position].bit_length()
        element_id = int.from_bytes(data[position:position + length], "big")
        position += length
        length = 9 - data[position].bit_length()
        size = int.from_bytes(data[position:position + length], "big") & ((1 << 7 * length) - 1)
        position += length
        assert position + size <= len(data), f"element {element_id:x} at {begin} has no size, or is cut"
        yield element_id, data[position:position + size], data[begin:position + size]
        position += size


def head(element_id, size):
    """What is in front of an element's content; the size takes eight bytes, whatever it is."""
    return element_id.to_bytes((element_id.bit_length() + 7) // 8, "big") + (1 << 56 | size).to_bytes(8, "big")


def element(element_id, *content):
    content = b"".join(part.to_bytes(8, "big") if isinstance(part, int) else part for part in content)
    return head(element_id, len(content)) + content


def write_with_gap(path, webm, gap_bytes):
    """Writes the video `webm` to `path` with nothing (an element Void, a hole of the file) between the two halves of
    its clusters. Its index is at its end. Returns the offset at which the second half begins."""
    (header, segment) = [content for _, content, _ in elements(webm)]
    parts = [(element_id, content, whole) for element_id, content, whole in elements(segment)]
    clusters = [(content, whole) for element_id, content, whole in parts if element_id == CLUSTER]
    information = b"".join(whole for element_id, _, whole in parts if element_id in (INFO, TRACKS))

    def seek_head(cues_position):
        return element(SEEK_HEAD, element(SEEK, element(SEEK_ID, head(CUES, 0)[:4]),
                                          element(SEEK_POSITION, cues_position)))

    # Positions count from the segment's first byte.
    position = len(seek_head(0)) + len(information)
    halves = [b"", b""]
    cues = b""
    for number, (content, whole) in enumerate(clusters):
        if number == len(clusters) // 2:
            gap = head(VOID, gap_bytes)
            position += len(gap) + gap_bytes
            far = position
        timestamp = next(int.from_bytes(value, "big") for name, value, _ in elements(content) if name == TIMESTAMP)
        cues += element(CUE_POINT, element(CUE_TIME, timestamp),
                        element(CUE_TRACK_POSITIONS, element(CUE_TRACK, 1), element(CUE_CLUSTER_POSITION, position)))
        halves[number >= len(clusters) // 2] += whole
        position += len(whole)
    index = element(CUES, cues)
    start = element(EBML, header) + head(SEGMENT, position + len(index))
    with open(path, "wb") as file:
        file.write(start + seek_head(position) + information + halves[0] + gap)
        file.seek(gap_bytes, 1)
        file.write(halves[1] + index)
    return len(start) + far
