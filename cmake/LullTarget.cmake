# What every target of this project has in common.

include_guard(GLOBAL)

# Links the many programs of a test build in a tenth of the time.
find_program(lull_mold mold)
mark_as_advanced(lull_mold)

# lull_target(<target>): language level, warnings, visibility, sanitizers.
function(lull_target target)
  target_compile_features(${target} PRIVATE c_std_11 cxx_std_20)
  set_target_properties(${target} PROPERTIES
    C_EXTENSIONS OFF
    CXX_EXTENSIONS OFF
    C_VISIBILITY_PRESET hidden
    CXX_VISIBILITY_PRESET hidden
    VISIBILITY_INLINES_HIDDEN ON
    POSITION_INDEPENDENT_CODE ON)
  target_compile_options(${target} PRIVATE -Wall -Wextra -Wpedantic -Wshadow)
  # The optimizer of g++ 12 warns of std::optional and std::string where nothing is wrong (GCC bugs 80635
  # and 105651).
  foreach(warning IN ITEMS maybe-uninitialized array-bounds restrict)
    target_compile_options(${target} PRIVATE
      $<$<AND:$<COMPILE_LANG_AND_ID:CXX,GNU>,$<NOT:$<CONFIG:Debug>>>:-Wno-${warning}>)
  endforeach()
  if(LULL_PRECOMPILE AND lull_mold)
    target_link_options(${target} PRIVATE -fuse-ld=mold)
  endif()
  if(LULL_SANITIZE)
    # What the tests call a million times is worth optimizing; the tests themselves are not.
    target_compile_options(${target} PRIVATE -fsanitize=${LULL_SANITIZE}
      -fno-sanitize-recover=all -fno-omit-frame-pointer -O1)
    if(LULL_SANITIZE MATCHES "undefined")
      # It asks the kernel about memory through a pipe, for which tests leave no descriptor.
      target_compile_options(${target} PRIVATE -fno-sanitize=vptr)
    endif()
    target_link_options(${target} PRIVATE -fsanitize=${LULL_SANITIZE})
  endif()
endfunction()

# lull_precompile(<target> <header>...): reads heavy headers once instead of once a file, in builds for
# tests (LULL_PRECOMPILE). Release builds stay without, so that a file which lacks an include does not
# compile there; and a unity build has them once in each of its few files anyway.
function(lull_precompile target)
  get_target_property(unity ${target} UNITY_BUILD)
  if(LULL_PRECOMPILE AND NOT unity)
    target_precompile_headers(${target} PRIVATE ${ARGN})
  endif()
endfunction()

# lull_precompile_shared(<target> <header>...): headers that programs reuse (REUSE_FROM <target>), which
# have to be compiled as their code is: for an executable.
function(lull_precompile_shared target)
  if(LULL_PRECOMPILE)
    set_target_properties(${target} PROPERTIES POSITION_INDEPENDENT_CODE OFF)
    target_compile_options(${target} PRIVATE -fPIE)
    target_precompile_headers(${target} PRIVATE ${ARGN})
  endif()
endfunction()

# lull_module(<target>): a backend module, on top of lull_target.
function(lull_module target)
  lull_target(${target})
  # One "unique" symbol (any static in an inline function of the standard library) would keep the
  # dynamic linker from ever unmapping the module.
  if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
    target_compile_options(${target} PRIVATE -fno-gnu-unique)
  endif()
  # Vendor functions are looked up by name and called by declarations that may be our own.
  if(CMAKE_CXX_COMPILER_ID MATCHES "Clang" AND LULL_SANITIZE MATCHES "undefined")
    target_compile_options(${target} PRIVATE -fno-sanitize=function)
  endif()
endfunction()
