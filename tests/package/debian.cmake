# Makes the Debian packages of ${build_dir} and installs them into the empty ${root}.

cmake_minimum_required(VERSION 3.25)

file(REMOVE_RECURSE ${root} ${root}.packages)
execute_process(COMMAND ${cpack} -G DEB --config ${build_dir}/CPackConfig.cmake -B ${root}.packages
  OUTPUT_QUIET COMMAND_ERROR_IS_FATAL ANY)

file(GLOB packages ${root}.packages/*.deb)
set(names "")
foreach(package IN LISTS packages)
  foreach(field IN ITEMS Package Version Depends)
    execute_process(COMMAND ${dpkg}-deb --field ${package} ${field}
      OUTPUT_VARIABLE ${field} OUTPUT_STRIP_TRAILING_WHITESPACE COMMAND_ERROR_IS_FATAL ANY)
  endforeach()
  list(APPEND names ${Package})
  if(NOT Version STREQUAL version)
    message(SEND_ERROR "${Package} has version '${Version}' instead of '${version}'")
  endif()
  set(library "liblull${soversion} (= ${version})")
  string(FIND "${Depends}" "${library}" at)
  if(at EQUAL -1 AND NOT Package STREQUAL "liblull${soversion}")
    message(SEND_ERROR "${Package} does not need '${library}' but '${Depends}'")
  endif()
endforeach()
list(SORT names)
set(wanted liblull-dev liblull${soversion} lull-tools python3-lull)
if(NOT names STREQUAL wanted)
  message(FATAL_ERROR "the packages are '${names}' instead of '${wanted}'")
endif()

# Unpacked as a system would, which also shows whether two packages have the same file. Only root can.
# Not configured: that would run ldconfig, which an empty root does not have.
execute_process(COMMAND id -u OUTPUT_VARIABLE user OUTPUT_STRIP_TRAILING_WHITESPACE)
if(user EQUAL 0)
  file(MAKE_DIRECTORY ${root}/var/lib/dpkg/info ${root}/var/lib/dpkg/updates)
  file(TOUCH ${root}/var/lib/dpkg/status ${root}/var/lib/dpkg/available)
  # The runtimes that they need are not there.
  execute_process(COMMAND ${dpkg} --root=${root} --force-depends --unpack ${packages}
    OUTPUT_QUIET ERROR_VARIABLE words RESULT_VARIABLE failed)
  if(failed)
    message(FATAL_ERROR "dpkg: ${words}")
  endif()
else()
  foreach(package IN LISTS packages)
    execute_process(COMMAND ${dpkg}-deb --extract ${package} ${root} COMMAND_ERROR_IS_FATAL ANY)
  endforeach()
endif()
