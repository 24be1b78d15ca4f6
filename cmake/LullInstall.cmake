# Install rules, the CMake package and the pkg-config file.

include(CMakePackageConfigHelpers)

set(lull_package_dir ${CMAKE_INSTALL_LIBDIR}/cmake/lull)

# Parts, which are packages of their own (LullPackage.cmake).
install(TARGETS lull EXPORT lull-targets
  LIBRARY DESTINATION ${CMAKE_INSTALL_LIBDIR}
    COMPONENT lull_library NAMELINK_COMPONENT lull_development
  ARCHIVE DESTINATION ${CMAKE_INSTALL_LIBDIR} COMPONENT lull_development)
install(DIRECTORY include/lull DESTINATION ${CMAKE_INSTALL_INCLUDEDIR} COMPONENT lull_development
  FILES_MATCHING PATTERN "*.h" PATTERN "*.hpp")
install(FILES LICENSE DESTINATION ${CMAKE_INSTALL_DATADIR}/doc/lull COMPONENT lull_development)
foreach(vendor IN LISTS lull_vendors)
  install(TARGETS lull_backend_${vendor}
    LIBRARY DESTINATION ${lull_module_dir} COMPONENT lull_tools)
endforeach()
if(TARGET lull-cli)
  file(RELATIVE_PATH lull_libdir_from_bin
    ${CMAKE_INSTALL_FULL_BINDIR} ${CMAKE_INSTALL_FULL_LIBDIR})
  set_target_properties(lull-cli PROPERTIES INSTALL_RPATH "$ORIGIN/${lull_libdir_from_bin}")
  install(TARGETS lull-cli RUNTIME DESTINATION ${CMAKE_INSTALL_BINDIR} COMPONENT lull_tools)
endif()
if(TARGET lull-serve)
  file(RELATIVE_PATH lull_libdir_from_bin
    ${CMAKE_INSTALL_FULL_BINDIR} ${CMAKE_INSTALL_FULL_LIBDIR})
  set_target_properties(lull-serve PROPERTIES INSTALL_RPATH "$ORIGIN/${lull_libdir_from_bin}")
  install(TARGETS lull-serve RUNTIME DESTINATION ${CMAKE_INSTALL_BINDIR} COMPONENT lull_tools)
endif()

# For any Python from 3.9 on: no part of it is compiled for one. The folder is Debian's.
if(TARGET lull-torch)
  set(lull_python_dir lib/python3/dist-packages)
  set_target_properties(lull-torch PROPERTIES INSTALL_RPATH "$ORIGIN")
  install(TARGETS lull-torch LIBRARY DESTINATION ${CMAKE_INSTALL_LIBDIR} COMPONENT lull_python)
  install(DIRECTORY adapters/torch/include/lull DESTINATION ${CMAKE_INSTALL_INCLUDEDIR}
    COMPONENT lull_development FILES_MATCHING PATTERN "*.h")
  install(DIRECTORY adapters/python/lull DESTINATION ${lull_python_dir} COMPONENT lull_python
    FILES_MATCHING PATTERN "*.py" PATTERN "py.typed" PATTERN "__pycache__" EXCLUDE)
  # What tells vLLM, and whoever lists packages, that it is there.
  set(lull_dist_info lull-${PROJECT_VERSION}.dist-info)
  configure_file(adapters/python/METADATA.in ${CMAKE_CURRENT_BINARY_DIR}/${lull_dist_info}/METADATA @ONLY)
  install(FILES
    ${CMAKE_CURRENT_BINARY_DIR}/${lull_dist_info}/METADATA
    adapters/python/entry_points.txt
    DESTINATION ${lull_python_dir}/${lull_dist_info} COMPONENT lull_python)
endif()

install(EXPORT lull-targets NAMESPACE lull:: DESTINATION ${lull_package_dir}
  COMPONENT lull_development)
configure_package_config_file(cmake/lull-config.cmake.in
  ${CMAKE_CURRENT_BINARY_DIR}/lull-config.cmake
  INSTALL_DESTINATION ${lull_package_dir})
write_basic_package_version_file(${CMAKE_CURRENT_BINARY_DIR}/lull-config-version.cmake
  COMPATIBILITY SameMinorVersion)
install(FILES
  ${CMAKE_CURRENT_BINARY_DIR}/lull-config.cmake
  ${CMAKE_CURRENT_BINARY_DIR}/lull-config-version.cmake
  DESTINATION ${lull_package_dir} COMPONENT lull_development)

# All paths are relative to where the file lies, so that an installed tree can be moved.
file(RELATIVE_PATH lull_prefix_from_pc
  ${CMAKE_INSTALL_FULL_LIBDIR}/pkgconfig ${CMAKE_INSTALL_PREFIX})
file(RELATIVE_PATH lull_libdir_from_prefix ${CMAKE_INSTALL_PREFIX} ${CMAKE_INSTALL_FULL_LIBDIR})
file(RELATIVE_PATH lull_includedir_from_prefix
  ${CMAKE_INSTALL_PREFIX} ${CMAKE_INSTALL_FULL_INCLUDEDIR})
# What a C program that links the archive needs besides; a shared library brings it along.
set(lull_private_libs "-lstdc++ -lm -pthread -ldl")
set(lull_public_libs "")
set(lull_public_flags "")
if(lull_kind STREQUAL "STATIC")
  set(lull_public_libs " ${lull_private_libs}")
endif()
if(LULL_HIDDEN)
  string(PREPEND lull_public_libs " -Wl,--exclude-libs,liblull.a")
  set(lull_public_flags " -DLULL_HIDDEN")
endif()
configure_file(cmake/lull.pc.in lull.pc @ONLY)
install(FILES ${CMAKE_CURRENT_BINARY_DIR}/lull.pc
  DESTINATION ${CMAKE_INSTALL_LIBDIR}/pkgconfig COMPONENT lull_development)
