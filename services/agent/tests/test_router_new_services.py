"""Services with tags that nobody has learned: how often a query for them reaches them, by how much they say."""

import pytest

from milepost_agent.router import Candidate, Router, default_model_file
from milepost_agent.router.examples import DATA_DIR, read_examples
from milepost_agent.router.tags import TAG_DESCRIPTIONS

pytestmark = pytest.mark.models

KNOWN = tuple(Candidate(f"{tag}-service", (tag,), description) for tag, description in TAG_DESCRIPTIONS.items())

NEW: dict[str, tuple[str, tuple[str, ...], tuple[str, ...]]] = {
    "image-making": (
        "Draws pictures, logos and illustrations from a description",
        (
            "Draw a fox in a snowy forest",
            "Make a logo for a surf school, two colours",
            "I need an illustration of the water cycle",
            "Paint a portrait in the style of the old masters",
            "create a banner picture for our spring sale",
            "Generate an image of a city on Mars",
            "Sketch a floor plan with three rooms",
            "a cartoon of a tired office worker, please",
        ),
        (
            "Draw me a dragon that reads the newspaper",
            "an icon for a bicycle app, flat style",
            "Produce a watercolour of Venice at dusk",
            "Picture of a cosy reading corner with a cat",
            "Design a poster with a lighthouse on it",
            "Make a photo-like image of a red vintage car",
            "Illustrate a children's story about two owls",
            "Can you sketch what a treehouse for adults would look like?",
        ),
    ),
    "payments": (
        "Moves money between accounts and pays bills",
        (
            "Transfer 80 euros to my brother",
            "Pay the phone bill",
            "Send the rent to the landlord",
            "What is the balance of my account?",
            "Set up a standing order for the gym",
            "Pay invoice 4471 by tomorrow",
            "move 500 from savings to checking",
            "Top up my prepaid card with 20",
        ),
        (
            "Wire 1,200 dollars to the contractor",
            "Settle the electricity bill today",
            "How much money is left on my account?",
            "Please pay Anna back the 35 euros for dinner",
            "Put 100 into the holiday savings",
            "Cancel the standing order to the sports club",
            "Transfer half of my salary to the joint account",
            "pay the water company",
        ),
    ),
    "medical-advice": (
        "Answers medical questions on illnesses and drugs",
        (
            "Which illness causes fever and a stiff neck?",
            "Is ibuprofen safe together with heart pills?",
            "My knee is swollen after running",
            "What are the side effects of penicillin?",
            "How is asthma treated?",
            "Should I see a doctor about this headache?",
            "I have a rash on both arms",
            "How long is the flu contagious?",
        ),
        (
            "My throat has been sore for a week",
            "Can I take aspirin while pregnant?",
            "What helps against a migraine?",
            "Symptoms of low blood sugar",
            "Why do I feel dizzy when I stand up?",
            "What dose of paracetamol is safe for a child of 20 kilos?",
            "Is chest pain after exercise dangerous?",
            "How do doctors treat a broken collarbone?",
        ),
    ),
    "home-control": (
        "Switches lights, heating and other devices in the house",
        (
            "Turn the lights in the kitchen off",
            "Set the heating to 20 degrees",
            "Close the blinds",
            "Lock the front door",
            "Start the robot vacuum",
            "dim the lamp in the hall",
            "Open the garage",
            "Switch the fan on for an hour",
        ),
        (
            "Make it warmer in the bathroom",
            "lights out everywhere",
            "Is the back door locked? If not, lock it",
            "Raise the shutters in the bedroom at eight",
            "Turn on the garden sprinkler",
            "Switch off the oven",
            "brighten the reading lamp",
            "Let the vacuum robot do the living room",
        ),
    ),
}


@pytest.fixture(scope="module")
def router() -> Router:
    return Router.load(default_model_file())


def services(examples: int) -> list[Candidate]:
    new = [Candidate(tag, (tag,), description, said[:examples]) for tag, (description, said, _) in NEW.items()]
    return [*KNOWN, *new]


@pytest.mark.requirement("RTR-2")
@pytest.mark.parametrize(
    ("examples", "reached_floor", "kept_floor"), [(0, 0.15, 0.92), (2, 0.45, 0.92), (8, 0.60, 0.90)]
)
def test_queries_reach_new_services_and_known_tags_keep_theirs(
    router: Router, examples: int, reached_floor: float, kept_floor: float
) -> None:
    offered = services(examples)
    router.learn(offered)
    asked = [(query, tag) for tag, (_, _, queries) in NEW.items() for query in queries]
    reached = sum(first(router, query, offered) == tag for query, tag in asked) / len(asked)
    known = [each for each in read_examples(DATA_DIR / "tuning.jsonl") if each.label != "none"]
    alone = sum(first(router, each.query, KNOWN) == f"{each.label}-service" for each in known) / len(known)
    kept = sum(first(router, each.query, offered) == f"{each.label}-service" for each in known) / len(known)
    print(f"{examples} examples: reached {reached:.3f}, kept {kept:.3f} of {alone:.3f}")
    assert reached >= reached_floor
    assert kept >= kept_floor


@pytest.mark.requirement("RTR-2")
def test_a_new_service_that_is_not_ready_is_never_named(router: Router) -> None:
    ready = [each for each in services(8) if each.name != "payments"]
    router.learn(ready)
    for query in NEW["payments"][2]:
        answer = router.recommend(query, ready)
        assert "payments" not in {service.service for service in answer.services}


def first(router: Router, query: str, offered: "list[Candidate] | tuple[Candidate, ...]") -> str:
    """The service that is named first, or "" when none fitting is likelier."""
    answer = router.recommend(query, offered)
    if not answer.services or answer.none_probability > answer.services[0].confidence:
        return ""
    return answer.services[0].service
