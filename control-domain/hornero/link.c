// SPDX-License-Identifier: MIT
/*
 * link: tells the start-up scripts about network cards. Prints a line "CARD STATE" for each card
 * that there is and then for each change, forever: `off` (administratively down), `down` (no
 * carrier), `up`, `gone`. Only what has hardware behind it counts, not bridges or taps.
 *
 * A shell cannot wait for a cable; rtnetlink can (rtnetlink(7)).
 */
#include <errno.h>
#include <linux/if.h>
#include <linux/if_arp.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define CARDS_MAX 256

static struct card {
	int index;
	const char *state;
} cards[CARDS_MAX];

static bool is_hardware(const char *name)
{
	char path[64];

	snprintf(path, sizeof(path), "/sys/class/net/%s/device", name);
	return access(path, F_OK) == 0;
}

/* The entry of a card, a free one if it is new, NULL if there are too many. */
static struct card *find(int index)
{
	struct card *free_one = NULL;

	for (int i = CARDS_MAX - 1; i >= 0; i--) {
		if (cards[i].index == index)
			return &cards[i];
		if (!cards[i].index)
			free_one = &cards[i];
	}
	return free_one;
}

static void tell(const struct nlmsghdr *header)
{
	const struct ifinfomsg *info = NLMSG_DATA(header);
	int bytes = (int)IFLA_PAYLOAD(header);
	const char *name = NULL, *state;
	struct card *card = find(info->ifi_index);

	for (const struct rtattr *a = IFLA_RTA(info); RTA_OK(a, bytes); a = RTA_NEXT(a, bytes))
		if (a->rta_type == IFLA_IFNAME)
			name = RTA_DATA(a);
	if (!name || !card || info->ifi_type != ARPHRD_ETHER)
		return;
	if (header->nlmsg_type == RTM_DELLINK)
		state = "gone";
	else if (!is_hardware(name))
		return;
	else if (!(info->ifi_flags & IFF_UP))
		state = "off";
	else
		state = info->ifi_flags & IFF_LOWER_UP ? "up" : "down";
	if (card->index && card->state == state)
		return;
	if (!card->index && header->nlmsg_type == RTM_DELLINK)
		return;
	card->index = header->nlmsg_type == RTM_DELLINK ? 0 : info->ifi_index;
	card->state = state;
	printf("%s %s\n", name, state);
	if (fflush(stdout))
		exit(0); /* the reader has gone */
}

static int ask_for_all(int line)
{
	struct {
		struct nlmsghdr header;
		struct ifinfomsg info;
	} request = {
		.header = {.nlmsg_len = sizeof(request),
			   .nlmsg_type = RTM_GETLINK,
			   .nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP},
		.info = {.ifi_family = AF_UNSPEC},
	};

	return send(line, &request, sizeof(request), 0) < 0 ? -1 : 0;
}

int main(void)
{
	struct sockaddr_nl address = {.nl_family = AF_NETLINK, .nl_groups = RTMGRP_LINK};
	static char buffer[64 * 1024] __attribute__((aligned(NLMSG_ALIGNTO)));
	int line = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE);

	if (line < 0 || bind(line, (struct sockaddr *)&address, sizeof(address)) < 0 ||
	    ask_for_all(line) < 0) {
		perror("link: rtnetlink");
		return 1;
	}
	for (;;) {
		ssize_t got = recv(line, buffer, sizeof(buffer), 0);
		unsigned int bytes = got > 0 ? (unsigned int)got : 0;

		if (got < 0 && errno == ENOBUFS) { /* events were lost: ask how things are now */
			ask_for_all(line);
			continue;
		}
		if (got < 0 && errno != EINTR) {
			perror("link: rtnetlink");
			return 1;
		}
		for (struct nlmsghdr *h = (struct nlmsghdr *)buffer; NLMSG_OK(h, bytes);
		     h = NLMSG_NEXT(h, bytes))
			if (h->nlmsg_type == RTM_NEWLINK || h->nlmsg_type == RTM_DELLINK)
				tell(h);
	}
}
