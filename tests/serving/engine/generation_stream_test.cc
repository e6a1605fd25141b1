#include "serving/engine/generation_stream.h"

#include "gtest/gtest.h"

namespace oneai::serving {
namespace {

GenerationEvent Token(int32_t id, std::string text) {
  GenerationEvent event;
  event.text = std::move(text);
  event.token_ids = {id};
  return event;
}

TEST(GenerationStreamTest, UnreadPiecesAreMerged) {
  GenerationStream stream(std::make_shared<EngineBell>(), 8);
  stream.Push(Token(1, "a"));
  stream.Push(Token(2, "b"));
  const std::optional<GenerationEvent> event = stream.Take();
  ASSERT_TRUE(event.has_value());
  EXPECT_EQ(event->text, "ab");
  EXPECT_EQ(event->token_ids, (std::vector<int32_t>{1, 2}));
  EXPECT_FALSE(stream.Take().has_value());
}

TEST(GenerationStreamTest, IsFullUntilTaken) {
  GenerationStream stream(std::make_shared<EngineBell>(), 2);
  stream.Push(Token(1, "a"));
  EXPECT_FALSE(stream.full());
  stream.Push(Token(2, "b"));
  EXPECT_TRUE(stream.full());
  stream.Take();
  EXPECT_FALSE(stream.full());
}

TEST(GenerationStreamTest, LateListenerHearsOfWhatIsPending) {
  GenerationStream stream(std::make_shared<EngineBell>(), 2);
  stream.Push(Token(1, "a"));
  int num_calls = 0;
  stream.OnReady([&] { ++num_calls; });
  EXPECT_EQ(num_calls, 1);
}

TEST(GenerationStreamTest, ListenerIsDroppedAfterTheLastEvent) {
  auto stream = std::make_shared<GenerationStream>(std::make_shared<EngineBell>(), 2);
  auto owned = std::make_shared<int>(0);
  stream->OnReady([owned, stream] { ++*owned; });
  GenerationEvent last;
  last.finish_reason = FinishReason::kStop;
  last.ends_request = true;
  stream->Push(last);
  EXPECT_EQ(*owned, 1);
  EXPECT_EQ(owned.use_count(), 1);
}

}  // namespace
}  // namespace oneai::serving
