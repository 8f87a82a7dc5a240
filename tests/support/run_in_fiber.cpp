#include "tests/support/run_in_fiber.hpp"

#include <boost/asio/post.hpp>
#include <utility>

namespace weft::test {

using host::runtime::Runtime;

namespace {

class MainFiber final : public host::runtime::ITask {
 public:
  MainFiber(Runtime& runtime, const std::function<void(Runtime&)>& body)
      : runtime_(runtime), body_(body) {}

  void Run() noexcept override {
    try {
      body_(runtime_);
    } catch (...) {
      error = std::current_exception();
    }
    runtime_.Stop();
  }

  std::exception_ptr error;

 private:
  Runtime& runtime_;
  const std::function<void(Runtime&)>& body_;
};

}  // namespace

Runtime::Options RoomyStacks() {
  Runtime::Options options;
  options.stack_bytes = 1024 * 1024;
  return options;
}

void RunInFiber(const std::function<void(Runtime&)>& body, const Runtime::Options& options) {
  std::exception_ptr error;
  {
    Runtime runtime(options);
    MainFiber fiber(runtime, body);
    runtime.Spawn(fiber);
    runtime.Run();
    error = std::move(fiber.error);
  }
  if (error) {
    std::rethrow_exception(error);
  }
}

SideFiber::SideFiber(Runtime& runtime, std::function<void()> body) : body_(std::move(body)) {
  runtime.Spawn(*this);
}

SideFiber::~SideFiber() { Wait(); }

void SideFiber::Join() {
  Wait();
  if (error_) {
    std::rethrow_exception(std::exchange(error_, nullptr));
  }
}

void SideFiber::Run() noexcept {
  try {
    body_();
  } catch (...) {
    error_ = std::current_exception();
  }
  ended_ = true;
  event_.Notify();
}

void SideFiber::Wait() noexcept {
  while (!ended_) {
    event_.Wait();
  }
}

Signal::Signal(Runtime& runtime)
    : runtime_(runtime), event_(std::make_shared<host::runtime::FiberEvent>()) {}

void Signal::Set() {
  boost::asio::post(runtime_.Io(), [event = event_] { event->Notify(); });
}

void Signal::Wait() noexcept { event_->Wait(); }

}  // namespace weft::test
