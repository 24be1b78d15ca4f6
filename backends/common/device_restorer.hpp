#ifndef LULL_BACKENDS_COMMON_DEVICE_RESTORER_HPP
#define LULL_BACKENDS_COMMON_DEVICE_RESTORER_HPP

namespace lull::backends {

/// Makes a device current by the runtime's own calls while it exists, and puts back the one that
/// was. For runtimes whose set-device creates nothing by itself.
template <class Api>
class device_restorer {
 public:
  device_restorer(const Api& api, int device) : api_(api) {
    api_.check(api_.get_device(&previous_), api_.get_device.name);
    if (previous_ == device) return;
    api_.check(api_.set_device(device), api_.set_device.name);
    changed_ = true;
  }
  ~device_restorer() {
    if (changed_) static_cast<void>(api_.set_device(previous_));
  }
  device_restorer(const device_restorer&) = delete;
  device_restorer& operator=(const device_restorer&) = delete;

 private:
  const Api& api_;
  int previous_ = 0;
  bool changed_ = false;
};

}  // namespace lull::backends

#endif  // LULL_BACKENDS_COMMON_DEVICE_RESTORER_HPP
