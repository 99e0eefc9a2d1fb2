"""A page in the browser that shows what is seen and answered now: pip install 'codriver[live]'.

with LivePage(Feed(hello)) as page:  # hello: cli/live.py makes it
    print(page.url)
    page.feed.publish(at.frames, percept)  # after each step
"""
