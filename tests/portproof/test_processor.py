import os
import sys

import pytest

from portproof.system import processor

AVX2 = {"avx2", "fma", "sse4_2"}
AVX512 = AVX2 | {"avx512f", "avx512bw", "avx512cd", "avx512dq", "avx512vl"}


@pytest.mark.parametrize(
    ("vendor", "flags", "expected"),
    [
        ("GenuineIntel", AVX512, None),
        ("AuthenticAMD", AVX512, "7"),
        ("AuthenticAMD", AVX2, "5"),
        ("HygonGenuine", AVX2 | {"avx512f"}, "5"),
        ("AuthenticAMD", {"sse4_2"}, None),
        ("", set(), None),
    ],
)
def test_mkl_type_follows_the_processor(vendor, flags, expected):
    assert processor.mkl_type(vendor, flags) == expected


def test_cpuinfo_is_read(tmp_path):
    cpuinfo = tmp_path / "cpuinfo"
    cpuinfo.write_text("vendor_id\t: X\nmodel name\t: Y 7: Z\nflags\t: a b\n\nvendor_id\t: other\n")
    assert processor.describe(cpuinfo) == ("X", "Y 7: Z", {"a", "b"})
    vendor, _, flags = processor.describe(tmp_path / "missing")
    assert (vendor, flags) == ("", set())


def test_what_the_user_has_set_stays(monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "11")
    monkeypatch.setenv("MKL_DEBUG_CPU_TYPE", "4")
    with processor.paddle_settings():
        pass
    assert os.environ["OMP_NUM_THREADS"] == "11"
    assert os.environ["MKL_DEBUG_CPU_TYPE"] == "4"


def test_settings_are_made_and_other_warnings_still_shown(monkeypatch, capsys):
    monkeypatch.setattr(os, "environ", dict(os.environ))
    for name in ("OMP_NUM_THREADS", "MKL_DEBUG_CPU_TYPE"):
        os.environ.pop(name, None)
    monkeypatch.setattr(processor, "describe", lambda: ("AuthenticAMD", "", AVX2))
    with processor.paddle_settings():
        print("WARNING: OMP_NUM_THREADS set to 2, not 1.", file=sys.stderr)
        print("PLEASE USE OMP_NUM_THREADS WISELY.", file=sys.stderr)
        print("something else is wrong", file=sys.stderr)
    assert os.environ["OMP_NUM_THREADS"] == str(processor.available_cores())
    assert os.environ["MKL_DEBUG_CPU_TYPE"] == "5"
    assert capsys.readouterr().err == "something else is wrong\n"
