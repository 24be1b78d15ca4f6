# Fails when ${library} needs anything but the language runtimes, or exports what is not lull's.

cmake_minimum_required(VERSION 3.25)

function(lines_of result)
  execute_process(COMMAND ${ARGN} OUTPUT_VARIABLE output COMMAND_ERROR_IS_FATAL ANY)
  string(REGEX MATCHALL "[^\n]+" lines "${output}")
  set(${result} ${lines} PARENT_SCOPE)
endfunction()

lines_of(dynamic ${readelf} --dynamic --wide ${library})
list(FILTER dynamic INCLUDE REGEX "\\(NEEDED\\)")
set(runtimes "libstdc\\+\\+|libc\\+\\+|libc\\+\\+abi|libm|libgcc_s|libc|ld-linux[-a-z0-9_]*")
foreach(line IN LISTS dynamic)
  if(NOT line MATCHES "\\[(${runtimes})\\.so[.0-9]*\\]$")
    message(SEND_ERROR "links more than the language runtimes: ${line}")
  endif()
endforeach()

# Mangled: vtables, type information, thunks and members of namespace lull, and the C functions.
set(internal "_Z(T[VIST]|GV)?N[KRO]*4lull(6detail|8backends).*")
# But for what a public template calls and derives from.
set(of_templates "_Z(T[VIS])?N[KRO]*4lull6detail11graph_entry")
set(ours "lull_[a-z_0-9]+|_Z(T[VIST]|GV|Th[n0-9]+_)?N[KRO]*4lull.*|LULL_[0-9.]+")
lines_of(symbols ${nm} --dynamic --defined-only --format=posix ${library})
foreach(line IN LISTS symbols)
  string(REGEX REPLACE "[ @].*" "" symbol "${line}")
  if(NOT symbol MATCHES "^(${ours})$")
    message(SEND_ERROR "exports a symbol that is not lull's: ${symbol}")
  elseif(symbol MATCHES "^${internal}$" AND NOT symbol MATCHES "^${of_templates}")
    message(SEND_ERROR "exports an internal symbol: ${symbol}")
  endif()
  list(APPEND names ${symbol})
endforeach()
foreach(symbol IN ITEMS lull_version _ZN4lull8registry6sharedEv _ZTIN4lull5errorE)
  if(NOT symbol IN_LIST names)
    message(SEND_ERROR "does not export ${symbol}")
  endif()
endforeach()

list(LENGTH dynamic needed_count)
list(LENGTH symbols symbol_count)
message(STATUS "${needed_count} libraries needed, ${symbol_count} symbols exported")
