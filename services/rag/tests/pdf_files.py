"""PDF files made by hand, good and bad, so that nothing but the format itself is between a test and its bytes."""

import io
import zlib
from collections.abc import Sequence

import pypdf

Line = tuple[int, str]
"""Size of the type in points, text."""


def pdf_of(pages: Sequence[Sequence[Line]]) -> bytes:
    """A PDF with these lines, a blank one where the text is empty."""
    return _file(
        [_shown(lines).encode() for lines in pages],
        {},
    )


def pdf_drawing(content: bytes, *, filters: str = "") -> bytes:
    """A PDF of one page with this content stream, as it is or behind `filters` that it went through."""
    return _file([content], {0: filters} if filters else {})


def unpacking_to(size: int) -> bytes:
    """A PDF whose page unpacks to this many bytes."""
    packer = zlib.compressobj(9)
    piece = b"0 " * (1 << 19)
    packed = b"".join(packer.compress(piece) for _ in range(max(1, size // len(piece)))) + packer.flush()
    return pdf_drawing(packed, filters="/FlateDecode")


def page_within_itself() -> bytes:
    """A tree of pages whose branch is its own child."""
    return pdf_of([[(12, "text")]]).replace(b"/Kids [4 0 R ]", b"/Kids [2 0 R ]")


def nested_arrays(depth: int) -> bytes:
    """A PDF with an array this deep in its catalogue."""
    return pdf_of([[(12, "text")]]).replace(b"/Pages 2 0 R", b"/Pages " + b"[" * depth + b"]" * depth)


def encrypted(password: str) -> bytes:
    writer = pypdf.PdfWriter(io.BytesIO(pdf_of([[(12, "The safe holds gold.")]])))
    writer.encrypt(password, owner_password="owner", algorithm="RC4-128")
    out = io.BytesIO()
    writer.write(out)
    return out.getvalue()


def _shown(lines: Sequence[Line]) -> str:
    drawn = ["BT", "1 0 0 1 72 760 Tm"]
    for size, text in lines:
        drawn.append(f"/F1 {size} Tf")
        drawn.append(f"0 -{size + 4} Td")
        if text:
            escaped = text.replace("\\", r"\\").replace("(", r"\(").replace(")", r"\)")
            drawn.append(f"({escaped}) Tj")
    return "\n".join([*drawn, "ET"])


def _file(contents: Sequence[bytes], filters: dict[int, str]) -> bytes:
    kids = "".join(f"{4 + 2 * index} 0 R " for index in range(len(contents)))
    objects = [
        b"<< /Type /Catalog /Pages 2 0 R >>",
        f"<< /Type /Pages /Kids [{kids}] /Count {len(contents)} >>".encode(),
        b"<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>",
    ]
    for index, content in enumerate(contents):
        page = f"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 595 842] /Contents {5 + 2 * index} 0 R "
        objects.append((page + "/Resources << /Font << /F1 3 0 R >> >> >>").encode())
        packing = f" /Filter {filters[index]}" if index in filters else ""
        head = f"<< /Length {len(content)}{packing} >>\nstream\n".encode()
        objects.append(head + content + b"\nendstream")
    out = bytearray(b"%PDF-1.7\n")
    places = []
    for number, body in enumerate(objects, start=1):
        places.append(len(out))
        out += f"{number} 0 obj\n".encode() + body + b"\nendobj\n"
    table = len(out)
    out += f"xref\n0 {len(objects) + 1}\n0000000000 65535 f \n".encode()
    out += b"".join(f"{place:010} 00000 n \n".encode() for place in places)
    out += f"trailer\n<< /Size {len(objects) + 1} /Root 1 0 R >>\nstartxref\n{table}\n%%EOF\n".encode()
    return bytes(out)
