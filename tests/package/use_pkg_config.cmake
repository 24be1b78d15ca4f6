# Compiles and runs ${source} with what pkg-config says about the lull under ${libdir}.

cmake_minimum_required(VERSION 3.25)

set(ENV{PKG_CONFIG_LIBDIR} ${libdir}/pkgconfig)
set(ENV{PKG_CONFIG_PATH} "")

function(ask result)
  execute_process(COMMAND ${pkg_config} ${ARGN} lull
    OUTPUT_VARIABLE output OUTPUT_STRIP_TRAILING_WHITESPACE COMMAND_ERROR_IS_FATAL ANY)
  set(${result} ${output} PARENT_SCOPE)
endfunction()

ask(installed_version --modversion)
if(NOT installed_version STREQUAL version)
  message(FATAL_ERROR "pkg-config says version '${installed_version}' instead of '${version}'")
endif()

ask(compile_flags --cflags)
ask(link_flags --libs)
separate_arguments(compile_flags UNIX_COMMAND "${compile_flags}")
separate_arguments(link_flags UNIX_COMMAND "${link_flags}")
execute_process(COMMAND ${compile} ${compile_flags} ${source} -o ${program} ${link_flags}
  COMMAND_ECHO STDOUT COMMAND_ERROR_IS_FATAL ANY)

set(ENV{LD_LIBRARY_PATH} ${libdir})
execute_process(COMMAND ${program} COMMAND_ERROR_IS_FATAL ANY)
