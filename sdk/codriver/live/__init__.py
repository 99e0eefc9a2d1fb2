"""A page in the browser that shows what is seen and answered now: pip install 'codriver[live]'.

with LivePage(Feed(hello)) as page:
    print(page.url)
    page.feed.publish(at.frames, percept)  # after each step
"""
