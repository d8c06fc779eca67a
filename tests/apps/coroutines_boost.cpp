// SPDX-License-Identifier: Apache-2.0
// Coroutines by Boost.Context.
#include <boost/context/fiber.hpp>
#include <boost/context/fixedsize_stack.hpp>

#include "tests/apps/coroutines.h"

using boost::context::fiber;

namespace
{
struct state {
	fiber coroutine, loop;
};

state &of(coroutine *c)
{
	return *static_cast<state *>(c->state);
}
} // namespace

void coroutine_create(coroutine *c)
{
	auto *s = new state;

	c->state = s;
	s->coroutine = fiber(std::allocator_arg, boost::context::fixedsize_stack(128 * 1024), [c](fiber &&loop) {
		of(c).loop = std::move(loop);
		coroutine_body(c);
		return fiber();
	});
}

void coroutine_resume(coroutine *c)
{
	of(c).coroutine = std::move(of(c).coroutine).resume();
}

void coroutine_suspend(coroutine *c)
{
	of(c).loop = std::move(of(c).loop).resume();
}

int main(int argc, char **argv)
{
	return coroutines_main(argc, argv);
}
