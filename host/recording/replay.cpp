#include "host/recording/replay.hpp"

#include <boost/asio/steady_timer.hpp>
#include <chrono>
#include <exception>
#include <utility>

namespace weft::host::recording {

namespace {

/// How often deadlines are looked at: as in a worker.
constexpr std::chrono::milliseconds kTick{250};

/// A peer in memory: has sent the whole body, and takes the whole answer.
class ReplayExchange final : public pipeline::IExchange {
 public:
  ReplayExchange(std::string_view body, Answer& answer) : body_(body), answer_(answer) {}

  std::size_t ReadBody(std::span<char> buffer) override {
    const auto count = body_.copy(buffer.data(), buffer.size());
    body_.remove_prefix(count);
    return count;
  }

  void SendHeaders(int status, std::string_view, const HttpHeaders& headers) override {
    answer_.status = status;
    answer_.headers = headers;
  }

  void SendBody(std::string_view bytes) override {
    if (bytes.size() > kMaxAnswerBytes - answer_.body.size()) {
      throw OperationCancelled(CancellationReason::kClientGone);
    }
    answer_.body += bytes;
  }

  void Flush() override {}
  bool Finish() noexcept override { return true; }  // its handler is waited for all the same
  void Abort() noexcept override { answer_.cut = true; }
  void OnCancelled() noexcept override {}  // no call here waits

 private:
  std::string_view body_;
  Answer& answer_;
};

ServerVariableCollection VariablesOf(const Recording& recording, std::string_view document_root) {
  constexpr std::string_view kDocumentRoot = "DOCUMENT_ROOT";
  auto bytes = kDocumentRoot.size() + document_root.size();
  for (const auto& [name, value] : recording.params) {
    bytes += name.size() + value.size();
  }
  ServerVariableCollection variables(recording.params.size() + 1, bytes);
  for (const auto& [name, value] : recording.params) {
    // As fastcgi/params.cpp does: no handler ever sees it.
    if (name != "HTTP_PROXY") {
      variables.Add(name, value);
    }
  }
  if (!variables.Find(kDocumentRoot)) {
    variables.Add(kDocumentRoot, document_root);
  }
  return variables;
}

class ReplayTask final : public runtime::ITask {
 public:
  ReplayTask(std::span<const Recording> recordings, std::string_view document_root,
             runtime::Runtime& runtime, pipeline::Pipeline& pipeline)
      : recordings_(recordings),
        document_root_(document_root),
        runtime_(runtime),
        pipeline_(pipeline),
        tick_(runtime.Io()) {}

  std::vector<Answer> RunToEnd() {
    runtime_.Spawn(*this);
    Tick();
    runtime_.Run();
    if (error_) {
      std::rethrow_exception(error_);
    }
    return std::move(answers_);
  }

 private:
  void Run() noexcept override {
    try {
      for (const auto& recording : recordings_) {
        Answer answer;
        ReplayExchange exchange(recording.body, answer);
        CancellationSource cancellation;
        pipeline_.Process(exchange, VariablesOf(recording, document_root_), cancellation);
        answers_.push_back(std::move(answer));
      }
    } catch (...) {
      error_ = std::current_exception();
    }
    tick_.cancel();
    runtime_.Stop();
  }

  void Tick() {
    tick_.expires_after(kTick);
    tick_.async_wait([this](const boost::system::error_code& error) {
      if (!error) {
        pipeline_.CancelOverdue(std::chrono::steady_clock::now());
        Tick();
      }
    });
  }

  std::span<const Recording> recordings_;
  std::string_view document_root_;
  runtime::Runtime& runtime_;
  pipeline::Pipeline& pipeline_;
  boost::asio::steady_timer tick_;
  std::vector<Answer> answers_;
  std::exception_ptr error_;
};

}  // namespace

std::vector<Answer> Replay(std::span<const Recording> recordings, std::string_view document_root,
                           runtime::Runtime& runtime, pipeline::Pipeline& pipeline) {
  return ReplayTask(recordings, document_root, runtime, pipeline).RunToEnd();
}

}  // namespace weft::host::recording
