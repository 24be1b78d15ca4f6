#!/usr/bin/env bash
# check_package.sh shared|static SOURCE SCRATCH CC CXX: installs lull into a scratch prefix, moves the
# prefix, and uses it from separate projects as a stranger would.
set -euo pipefail
flavour=$1 source=$2 scratch=$3 cc=$4 cxx=$5
here=$(cd "$(dirname "$0")" && pwd)
export CC=$cc CXX=$cxx

launcher=()
if command -v ccache >/dev/null; then
  launcher=(-DCMAKE_C_COMPILER_LAUNCHER=ccache -DCMAKE_CXX_COMPILER_LAUNCHER=ccache)
fi
rm -rf "$scratch/installed" "$scratch/prefix" "$scratch"/use-*
mkdir -p "$scratch"

step() { echo "-- $*"; }

step "build and install ($flavour)"
shared=OFF
[ "$flavour" = static ] || shared=ON
# The library directory is spelled out: consumers of this test look there.
cmake -G Ninja -S "$source" -B "$scratch/build" "${launcher[@]}" -DBUILD_SHARED_LIBS=$shared \
  -DLULL_BUILD_TESTS=OFF -DLULL_BUILD_TOOLS=OFF -DLULL_BUILD_EXAMPLES=OFF \
  -DCMAKE_INSTALL_LIBDIR=lib -DCMAKE_INSTALL_PREFIX="$scratch/installed" >/dev/null
cmake --build "$scratch/build" >/dev/null
cmake --install "$scratch/build" >/dev/null

step "list of installed files"
(cd "$scratch/installed" && find . -type f -o -type l | sed 's|^\./||' | sort) >"$scratch/files"
diff -u <(sort "$here/installed_files_$flavour.txt") "$scratch/files"

step "move the prefix: nothing may depend on where it was"
mv "$scratch/installed" "$scratch/prefix"
prefix=$scratch/prefix
export LD_LIBRARY_PATH=$prefix/lib PKG_CONFIG_PATH=$prefix/lib/pkgconfig

step "find_package(lull) in C and in C++"
cmake -G Ninja -S "$here/consumer" -B "$scratch/use-package" "${launcher[@]}" \
  -DCMAKE_PREFIX_PATH="$prefix" >/dev/null
cmake --build "$scratch/use-package" >/dev/null
"$scratch/use-package/consumer_c"
"$scratch/use-package/consumer_cpp"

step "add_subdirectory"
cmake -G Ninja -S "$here/consumer" -B "$scratch/use-subdirectory" "${launcher[@]}" \
  -DLULL_SOURCE="$source" -DBUILD_SHARED_LIBS=$shared >/dev/null
cmake --build "$scratch/use-subdirectory" >/dev/null
"$scratch/use-subdirectory/consumer_c"
"$scratch/use-subdirectory/consumer_cpp"

step "pkg-config in C and in C++"
mkdir -p "$scratch/use-pkg-config"
# shellcheck disable=SC2046  # one word each
"$cc" -std=c11 "$here/consumer/main.c" -o "$scratch/use-pkg-config/c" \
  $(pkg-config --cflags --libs lull)
# shellcheck disable=SC2046
"$cxx" -std=c++20 "$here/consumer/main.cpp" -o "$scratch/use-pkg-config/cpp" \
  $(pkg-config --cflags --libs lull)
"$scratch/use-pkg-config/c"
"$scratch/use-pkg-config/cpp"
test "$(pkg-config --modversion lull)" = \
  "$(sed -n 's/.*PACKAGE_VERSION "\(.*\)")/\1/p' "$prefix/lib/cmake/lull/lull-config-version.cmake" | head -n 1)"
echo "ok"
