# Debian packages (the target `package`, or cpack in the build tree): the shared library, named after its
# soname; what is needed to build against it; the command line with the vendors' modules; what Python needs.

set(lull_library_package liblull${lull_soversion})

set(CPACK_COMPONENTS_ALL lull_development lull_tools)
if(lull_kind STREQUAL "SHARED")
  list(APPEND CPACK_COMPONENTS_ALL lull_library)
endif()
if(TARGET lull-torch)
  list(APPEND CPACK_COMPONENTS_ALL lull_python)
endif()

set(CPACK_PACKAGE_NAME lull)
set(CPACK_PACKAGE_VERSION ${PROJECT_VERSION})
set(CPACK_PACKAGE_VENDOR "The lull authors")
set(CPACK_PACKAGE_DESCRIPTION_SUMMARY ${PROJECT_DESCRIPTION})
set(CPACK_RESOURCE_FILE_LICENSE ${PROJECT_SOURCE_DIR}/LICENSE)
set(CPACK_STRIP_FILES ON)
find_program(lull_dpkg dpkg)
mark_as_advanced(lull_dpkg)
if(lull_dpkg)
  set(CPACK_GENERATOR DEB)
else()
  set(CPACK_GENERATOR TGZ)
endif()

set(CPACK_DEB_COMPONENT_INSTALL ON)
set(CPACK_DEBIAN_FILE_NAME DEB-DEFAULT)
set(CPACK_DEBIAN_PACKAGE_MAINTAINER "The lull authors <lull@localhost>")
find_program(lull_dpkg_shlibdeps dpkg-shlibdeps)
mark_as_advanced(lull_dpkg_shlibdeps)
if(lull_dpkg_shlibdeps)
  set(CPACK_DEBIAN_PACKAGE_SHLIBDEPS ON)
  set(CPACK_DEBIAN_PACKAGE_SHLIBDEPS_PRIVATE_DIRS ${PROJECT_BINARY_DIR}/src)
endif()

# lull_deb(<component> <package> <section> <what it is> [<packages that it needs>])
function(lull_deb component package section description)
  string(TOUPPER ${component} upper)
  set(CPACK_DEBIAN_${upper}_PACKAGE_NAME ${package} PARENT_SCOPE)
  set(CPACK_DEBIAN_${upper}_PACKAGE_SECTION ${section} PARENT_SCOPE)
  set(CPACK_DEBIAN_${upper}_DESCRIPTION "${PROJECT_DESCRIPTION}: ${description}" PARENT_SCOPE)
  set(CPACK_DEBIAN_${upper}_PACKAGE_DEPENDS "${ARGN}" PARENT_SCOPE)
  # Debian's place for the licence; an installation without packages has it once.
  install(FILES LICENSE DESTINATION ${CMAKE_INSTALL_DATADIR}/doc/${package}
    RENAME copyright COMPONENT ${component} EXCLUDE_FROM_ALL)
endfunction()

set(same_library "")
if(lull_kind STREQUAL "SHARED")
  set(same_library "${lull_library_package} (= ${PROJECT_VERSION})")
endif()
lull_deb(lull_library ${lull_library_package} libs "the library")
lull_deb(lull_development liblull-dev libdevel "headers" ${same_library})
lull_deb(lull_tools lull-tools utils "the command line, and the modules for GPUs" ${same_library})
# The program says what is free while a process is suspended; the modules are beside it.
set(library_and_python ${same_library} "python3 (>= 3.9)")
list(JOIN library_and_python ", " library_and_python)
lull_deb(lull_python python3-lull python "for Python, PyTorch and vLLM" "${library_and_python}")
set(CPACK_DEBIAN_LULL_PYTHON_PACKAGE_RECOMMENDS lull-tools)
# CPack's own would complain of the modules, which have no soname.
file(WRITE ${PROJECT_BINARY_DIR}/debian/shlibs
  "liblull ${lull_soversion} ${lull_library_package} (>= ${PROJECT_VERSION})\n")
set(CPACK_DEBIAN_LULL_LIBRARY_PACKAGE_CONTROL_EXTRA
  ${PROJECT_BINARY_DIR}/debian/shlibs)
# An engine needs the modules for more than the host's memory.
set(CPACK_DEBIAN_LULL_LIBRARY_PACKAGE_RECOMMENDS lull-tools)

include(CPack)
