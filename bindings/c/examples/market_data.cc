// A market-data pipeline: a feed publishes quotes, a consumer with a durable place keeps a book of the best prices, and an observer
// watches without ever holding the feed back.
//
//     market_data [QUOTES]
#include <slipring.hpp>

#include <cstdio>
#include <map>
#include <string>
#include <thread>

struct Quote {
    std::uint64_t sequence;
    double bid;
    double ask;
    char symbol[8];
};
SLIPRING_MESSAGE(Quote, sequence, bid, ask, symbol);

static void feed(const std::string &place, std::uint64_t quotes) {
    auto producer = slipring::typed<Quote>::open(place).make_producer();
    const char *const symbols[] = {"AAA", "BBB", "CCC"};
    for (std::uint64_t at = 0; at < quotes; at++) {
        Quote quote{at, 100.0 + static_cast<double>(at % 7), 101.0 + static_cast<double>(at % 7), {}};
        std::memcpy(quote.symbol, symbols[at % 3], 4);
        producer.publish(quote);
    }
} // closes the ring

static std::uint64_t watch(slipring::observer observer, std::uint64_t &lost) {
    std::uint64_t seen = 0;
    while (auto received = observer.receive()) {
        if (received->kind == SLIPRING_RECEIVED_MESSAGE)
            seen++;
        else
            lost += received->count;
    }
    return seen;
}

int main(int count, char **given) {
    const std::uint64_t quotes = count > 1 ? std::stoull(given[1]) : 1000000;
    try {
        auto ring = slipring::typed<Quote>::create("market");
        auto book = ring.make_durable_consumer("book", slipring::start::oldest());
        std::uint64_t seen = 0, lost = 0;
        std::thread watcher([&, observer = ring.ring().observer(slipring::start::oldest())]() mutable {
            seen = watch(std::move(observer), lost);
        });
        std::thread feeder(feed, "market", quotes);

        std::map<std::string, Quote> best;
        std::uint64_t received = 0;
        while (auto quote = book.receive()) {
            if (quote->sequence != received++) throw std::runtime_error("a quote is missing");
            best[quote->symbol] = *quote;
        }
        feeder.join();
        watcher.join();
        if (received != quotes || seen + lost != quotes || best.size() != 3) throw std::runtime_error("the account is wrong");
        book.bytes().close();
        slipring::ring::remove("market");
        std::printf("%llu quotes in the book, %llu seen and %llu lost by the observer, as it should be\n",
                    static_cast<unsigned long long>(received), static_cast<unsigned long long>(seen),
                    static_cast<unsigned long long>(lost));
    } catch (const std::exception &error) {
        std::fprintf(stderr, "%s\n", error.what());
        return 1;
    }
    return 0;
}
