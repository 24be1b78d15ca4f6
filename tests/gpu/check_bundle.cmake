# Runs a bundle where there is nothing else: in a root with the bundle and the C library, then with the
# C++ runtime too.
#   -D bundle=<folder>  -D root=<folder>, made anew
#   -D compiler=<g++>, which knows where libraries lie  -D readelf=<readelf>

cmake_policy(VERSION 3.25)

# The kernel's /proc is there, for $ORIGIN; nothing else is. Who is not root becomes root of a namespace of
# its own, where the kernel lets everybody do so.
execute_process(COMMAND id -u OUTPUT_VARIABLE user OUTPUT_STRIP_TRAILING_WHITESPACE)
set(as_root "")
if(NOT user STREQUAL "0")
  set(as_root --map-root-user)
endif()
set(enter unshare --mount ${as_root}
  sh -c "mount --rbind /proc \"$0/proc\" && exec chroot \"$0\" \"$@\"" ${root})

# install_library(<soname>...): into the root, where it lies here.
function(install_library)
  foreach(name IN LISTS ARGN)
    execute_process(COMMAND ${compiler} -print-file-name=${name}
      OUTPUT_VARIABLE file OUTPUT_STRIP_TRAILING_WHITESPACE)
    if(NOT IS_ABSOLUTE "${file}")
      message(FATAL_ERROR "${name} was not found")
    endif()
    file(REAL_PATH ${file} real)
    get_filename_component(folder ${real} DIRECTORY)
    configure_file(${real} ${root}${folder}/${name} COPYONLY)
  endforeach()
endfunction()

# The C library: what a program names as its interpreter, and the libraries.
function(install_c_library)
  execute_process(COMMAND ${readelf} -l ${bundle}/lull OUTPUT_VARIABLE headers)
  if(NOT headers MATCHES "interpreter: ([^]]+)")
    message(FATAL_ERROR "lull names no interpreter")
  endif()
  file(REAL_PATH ${CMAKE_MATCH_1} real)
  configure_file(${real} ${root}${CMAKE_MATCH_1} COPYONLY)
  install_library(libc.so.6 libm.so.6 libdl.so.2 libpthread.so.0 librt.so.1)
endfunction()

# run_checks(<result> <argument>...): run-gpu-checks in the root; what it says, judged.
function(run_checks runtime)
  file(REMOVE_RECURSE ${root}/results)
  execute_process(COMMAND ${enter} /bundle/run-gpu-checks --output /results
    RESULT_VARIABLE code OUTPUT_VARIABLE said ERROR_VARIABLE said)
  message("${said}")
  if(NOT code EQUAL 77)
    message(FATAL_ERROR "run-gpu-checks ended with ${code} instead of 77, no GPU")
  endif()
  file(READ ${root}/results/gpu-checks.json results)
  string(JSON verdict GET "${results}" verdict)
  if(NOT verdict STREQUAL "no GPU" OR NOT said MATCHES "\nno GPU: .*libcuda")
    message(FATAL_ERROR "the verdict is '${verdict}' instead of 'no GPU', with libcuda in the reason")
  endif()
  string(JSON used ERROR_VARIABLE none GET "${results}" bundle runtime)
  if(NOT used STREQUAL runtime)
    message(FATAL_ERROR "the C++ runtime was '${used}' instead of '${runtime}'")
  endif()
endfunction()

foreach(file IN ITEMS torch_sleep.py python/lull/__init__.py liblull-torch.so)
  if(NOT EXISTS ${bundle}/${file})
    message(FATAL_ERROR "${file} is not in the bundle")
  endif()
endforeach()
file(REMOVE_RECURSE ${root})
file(MAKE_DIRECTORY ${root}/proc)
file(COPY ${bundle}/ DESTINATION ${root}/bundle)
execute_process(COMMAND ${enter} /bundle/run-gpu-checks --help
  RESULT_VARIABLE code OUTPUT_QUIET ERROR_VARIABLE said)
if(NOT code EQUAL 0)
  if(NOT code MATCHES "^[0-9]+$" OR said MATCHES "^(unshare|mount|chroot): ")
    message("SKIPPED: no other root can be entered here: ${code} ${said}")
    return()
  endif()
  message(FATAL_ERROR "run-gpu-checks does not start in an empty root (${code}): ${said}")
endif()

install_c_library()
run_checks(fallback)

install_library(libstdc++.so.6 libgcc_s.so.1)
run_checks("bundle-runtime-NOTFOUND")

# By hand, as somebody may do on such a machine.
file(READ ${bundle}/bundle.json manifest)
string(JSON count LENGTH "${manifest}" programs)
math(EXPR last "${count} - 1")
foreach(i RANGE ${last})
  string(JSON program GET "${manifest}" programs ${i})
  execute_process(COMMAND ${enter} /bundle/${program} --help
    RESULT_VARIABLE code OUTPUT_VARIABLE said ERROR_VARIABLE said)
  if(NOT code EQUAL 0)
    message(FATAL_ERROR "${program} --help ended with ${code}: ${said}")
  endif()
endforeach()

# A library that is missing is a failure, in the linker's words, and no "no GPU".
file(GLOB library ${root}/bundle/libcpp-httplib.so.*)
file(REMOVE ${library})
execute_process(COMMAND ${enter} /bundle/run-gpu-checks --output /results
  RESULT_VARIABLE code OUTPUT_VARIABLE said ERROR_VARIABLE said)
file(READ ${root}/results/gpu-checks.json results)
string(JSON verdict GET "${results}" verdict)
if(NOT code EQUAL 1 OR NOT verdict STREQUAL "failed" OR said MATCHES "no GPU"
   OR NOT said MATCHES "error while loading shared libraries: libcpp-httplib")
  message(FATAL_ERROR "without a library it ended with ${code} and '${verdict}':\n${said}")
endif()
