#pragma once

#include <chrono>

#include "host/fastcgi/channel.hpp"
#include "host/pipeline/pipeline.hpp"
#include "host/runtime/runtime.hpp"

namespace weft::host::fastcgi {

/// The FastCGI responder: takes each request through libfcgi, from its channel to the pipeline and back.
///
/// Threads: the reactor's. One at a time in a process: libfcgi keeps static state.
class Responder final : public IRequestServer {
 public:
  /// Both must outlive the responder. `body_timeout` bounds each wait for body bytes.
  Responder(runtime::Runtime& runtime, pipeline::Pipeline& pipeline,
            std::chrono::milliseconds body_timeout);

  void Start(Channel& channel) override;
  void Serve(Channel& channel) noexcept override;
  pipeline::BodyBudget& Bodies() noexcept override { return pipeline_.Bodies(); }

 private:
  runtime::Runtime& runtime_;
  pipeline::Pipeline& pipeline_;
  std::chrono::milliseconds body_timeout_;
};

}  // namespace weft::host::fastcgi
