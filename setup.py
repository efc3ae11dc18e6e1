"""Builds the extension modules: OpenBLAS vendored beside them, OpenMP where the compiler has it, the kernels once for
each instruction set. Everything else about the package is in pyproject.toml.

TEXTGRU_CHECKED=1 in the environment builds with bounds checks, for looking for mistakes in the core.
"""

import os
import platform
import shlex
import shutil
import sys
import tempfile
from pathlib import Path

import numpy
import scipy_openblas32
from Cython.Build import cythonize
from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext
from setuptools.errors import CompileError, LinkError

CORE = Path("textgru", "core")
KERNELS = CORE / "kernels"
CHECKED = os.environ.get("TEXTGRU_CHECKED", "") not in ("", "0")
X86 = platform.machine().lower() in ("x86_64", "amd64")
ARM_LINUX = platform.machine().lower() == "aarch64" and sys.platform == "linux"

# The modules that use the kernel tables only through simd's pointer don't link them; simd does.
MODULES = [".".join(path.relative_to(CORE).with_suffix("").parts) for path in sorted(CORE.rglob("*.pyx"))]

# Not -ffast-math: it deletes NaN checks, and some linkers then add code that flushes denormals in the whole process.
VECTOR_FLAGS = [
    "-std=c11",
    "-O3",
    "-g0",
    "-fopenmp-simd",
    "-fno-math-errno",
    "-fno-trapping-math",
    "-ffp-contract=fast",
]
NO_BRANCHES = "-fno-thread-jumps"  # GCC would make a branch of each clamp, and three selections of each branch
INSTRUCTION_SETS = {"baseline": []}
if X86:
    INSTRUCTION_SETS["avx2"] = ["-mavx2", "-mfma"]
    AVX512 = ["-mavx512f", "-mavx512bw", "-mavx512dq", "-mavx512vl", "-mfma", "-mprfchw", "-mprefer-vector-width=512"]
    INSTRUCTION_SETS["avx512"] = AVX512
    INSTRUCTION_SETS["avx512_vnni"] = [*AVX512, "-mavx512vnni"]
    INSTRUCTION_SETS["avx512_bf16"] = [*AVX512, "-mavx512vnni", "-mavx512bf16"]
if ARM_LINUX:
    INSTRUCTION_SETS["neon_dot"] = ["-march=armv8.2-a+dotprod"]
    INSTRUCTION_SETS["neon_bf16"] = ["-march=armv8.2-a+dotprod+bf16"]

OPENMP_PROBE = """
#include <omp.h>
int main(void)
{
    int n = 0;
    #pragma omp parallel reduction(+ : n)
    n += 1;
    return n == 0 || omp_get_max_threads() == 0;
}
"""


class BuildCore(build_ext):
    """build_ext that finds OpenMP, compiles the kernels and vendors OpenBLAS."""

    def run(self):
        super().run()
        self.vendor_openblas()

    def build_extensions(self):
        openmp = self.openmp_flags()
        kernels = self.compile_kernels()
        for extension in self.extensions:
            extension.extra_compile_args += openmp
            extension.extra_link_args += openmp
            if extension.name.endswith(".simd"):
                extension.extra_objects += kernels
        super().build_extensions()

    def openmp_flags(self):
        flags = ["-fopenmp"] if sys.platform != "darwin" else ["-Xclang", "-fopenmp", "-lomp"]
        with tempfile.TemporaryDirectory() as folder:
            source = Path(folder, "probe.c")
            source.write_text(OPENMP_PROBE)
            try:
                objects = self.compiler.compile([str(source)], output_dir=folder, extra_postargs=flags)
                link = [*flags, *shlex.split(os.environ.get("LDFLAGS", ""))]
                self.compiler.link_executable(objects, str(Path(folder, "probe")), extra_postargs=link)
                return flags
            except (CompileError, LinkError):
                pass
        print(
            "\n*** textgru: this compiler has no OpenMP. The core is built SINGLE-THREADED and will use one CPU."
            "\n*** For threads, install a compiler with OpenMP (gcc has it) and install textgru again.\n",
            file=sys.stderr,
        )
        return []

    def knows(self, flag):
        """Whether the compiler takes a flag: Clang lacks some of GCC's."""
        with tempfile.TemporaryDirectory() as folder:
            source = Path(folder, "probe.c")
            source.write_text("int main(void) { return 0; }\n")
            try:
                self.compiler.compile([str(source)], output_dir=folder, extra_postargs=["-Werror", flag])
            except CompileError:
                return False
        return True

    def compile_kernels(self):
        """The kernels for each instruction set; one that the compiler doesn't know is left out."""
        objects, built = [], []
        vector_flags = [*VECTOR_FLAGS, NO_BRANCHES] if self.knows(NO_BRANCHES) else VECTOR_FLAGS
        for name, flags in INSTRUCTION_SETS.items():
            try:
                objects += self.compiler.compile(
                    [str(KERNELS / "kernels.c")],
                    output_dir=str(Path(self.build_temp, name)),
                    macros=[("TEXTGRU_ISA", name)],
                    extra_postargs=vector_flags + flags,
                    depends=[str(path) for path in KERNELS.glob("*.h")],
                )
            except CompileError:
                if name == "baseline":
                    raise
                print(f"textgru: this compiler has no {name}: built without it", file=sys.stderr)
            else:
                built.append((f"TEXTGRU_HAS_{name.upper()}", "1"))
        objects += self.compiler.compile(
            [str(KERNELS / "dispatch.c")], output_dir=self.build_temp, macros=built, extra_postargs=["-std=c11"]
        )
        return objects

    def vendor_openblas(self):
        """Copies the library to textgru/core/openblas, where the run path of the BLAS's module looks for it."""
        root = Path() if self.inplace else Path(self.build_lib)
        target = root / CORE / "openblas"
        shutil.rmtree(target, ignore_errors=True)
        target.mkdir(parents=True)
        library = scipy_openblas32.get_library(fullname=True)
        shutil.copy2(Path(scipy_openblas32.get_lib_dir(), library), target / library)
        for licence in Path(scipy_openblas32.__file__).parent.parent.glob("scipy_openblas32-*.dist-info/**/LICENSE*"):
            shutil.copy2(licence, target / licence.name)


def extension(name):
    uses_blas = name.endswith(".blas")
    return Extension(
        f"textgru.core.{name}",
        [str(CORE.joinpath(*name.split(".")).with_suffix(".pyx"))],
        include_dirs=[numpy.get_include(), str(KERNELS), scipy_openblas32.get_include_dir()],
        library_dirs=[scipy_openblas32.get_lib_dir()] if uses_blas else [],
        libraries=[scipy_openblas32.get_library()] if uses_blas else [],
        extra_link_args=["-Wl,-rpath,$ORIGIN/../openblas"] if uses_blas and sys.platform == "linux" else [],
        extra_compile_args=["-O2", "-g0"],
        define_macros=[("NPY_NO_DEPRECATED_API", "NPY_1_25_API_VERSION")],
        depends=[str(path) for path in KERNELS.glob("*.h")],
    )


setup(
    ext_modules=cythonize(
        [extension(name) for name in MODULES],
        build_dir="build/cython",
        compiler_directives={
            "language_level": 3,
            "boundscheck": CHECKED,
            "wraparound": CHECKED,
            "initializedcheck": CHECKED,
            "cdivision": not CHECKED,
            "freethreading_compatible": False,
        },
        show_all_warnings=False,
    ),
    cmdclass={"build_ext": BuildCore},
)
