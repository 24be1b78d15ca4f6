# What ${plugin} exports: its entry, and of lull nothing exactly if ${hidden}.

execute_process(COMMAND ${nm} --dynamic --defined-only --format=posix ${plugin}
  OUTPUT_VARIABLE symbols RESULT_VARIABLE failed)
if(failed OR NOT symbols MATCHES "plugin_entry")
  message(FATAL_ERROR "nm does not show the plugin's entry: ${failed}\n${symbols}")
endif()
# Functions, and members of namespace lull. Not templates of the standard library with a type of lull's.
string(REGEX MATCHALL "(^|\n)(lull_|_Z(T[VIST]|GV|Th[n0-9]+_)?N[KRO]*4lull)[^\n]*" exported "${symbols}")
list(LENGTH exported count)
message(STATUS "${count} of lull's symbols are exported")
if(hidden AND NOT count EQUAL 0)
  message(FATAL_ERROR "exported in spite of LULL_HIDDEN: ${exported}")
elseif(NOT hidden AND count EQUAL 0)
  message(FATAL_ERROR "none is exported without LULL_HIDDEN")
endif()
