# Copies programs and all that they need into a folder of its own, which can be carried away.
#   -D destination=<folder>         made anew
#   -D "programs=<file>;..."        linked with DT_RPATH $ORIGIN, so that what their libraries need is
#                                   found beside them too
#   -D "modules=<file>;..."         what is loaded at run time
#   -D "files=<file>;..."           the rest
#   -D "packages=<folder>;..."      of Python, for a folder of their own: there is a program lull here
#   -D strip=<strip>  -D source_dir=<source tree>, for the commit

cmake_policy(VERSION 3.25)

# The C library is the machine's: a program cannot bring another one. The C++ runtime is the machine's
# where that is new enough, else the one in fallback/.
set(c_library "^(ld-linux.*|lib(c|dl|m|pthread|resolv|rt))\\.so")
set(cxx_runtime "^lib(stdc\\+\\+|gcc_s)\\.so")

file(GET_RUNTIME_DEPENDENCIES
  EXECUTABLES ${programs}
  MODULES ${modules}
  RESOLVED_DEPENDENCIES_VAR libraries
  UNRESOLVED_DEPENDENCIES_VAR missing
  PRE_EXCLUDE_REGEXES ${c_library})
if(missing)
  message(FATAL_ERROR "not found: ${missing}")
endif()

# copy_named(<folder> <file>): what a link stands for, under the link's name.
function(copy_named folder file)
  get_filename_component(name ${file} NAME)
  file(REAL_PATH ${file} real)
  file(MAKE_DIRECTORY ${folder})
  configure_file(${real} ${folder}/${name} COPYONLY)
endfunction()

file(REMOVE_RECURSE ${destination})
set(names "")
foreach(file IN LISTS programs)
  copy_named(${destination} ${file})
  get_filename_component(name ${file} NAME)
  execute_process(COMMAND ${strip} --strip-debug ${destination}/${name} COMMAND_ERROR_IS_FATAL ANY)
  if(NOT name STREQUAL "run-gpu-checks")
    list(APPEND names "\"${name}\"")
  endif()
endforeach()
foreach(file IN LISTS modules files)
  copy_named(${destination} ${file})
endforeach()
file(COPY ${packages} DESTINATION ${destination}/python PATTERN __pycache__ EXCLUDE)
foreach(file IN LISTS libraries)
  get_filename_component(name ${file} NAME)
  if(name MATCHES "${cxx_runtime}")
    copy_named(${destination}/fallback ${file})
  else()
    copy_named(${destination} ${file})
  endif()
endforeach()

# What the bundle says of itself.
execute_process(COMMAND git describe --always --dirty
  WORKING_DIRECTORY ${source_dir}
  OUTPUT_VARIABLE commit OUTPUT_STRIP_TRAILING_WHITESPACE ERROR_QUIET RESULT_VARIABLE failed)
if(failed)
  set(commit unknown)
endif()
string(TIMESTAMP built "%Y-%m-%dT%H:%M:%SZ" UTC)
list(JOIN names ", " names)
file(WRITE ${destination}/bundle.json
  "{\"commit\": \"${commit}\", \"built\": \"${built}\", \"programs\": [${names}]}\n")
