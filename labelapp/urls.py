"""All addresses of the site."""

from django.contrib import admin
from django.contrib.auth.views import LogoutView
from django.urls import include, path, re_path
from django.views.generic import RedirectView

import active_learning.api.urls
import active_learning.urls
import annotation.api.urls
from active_learning.views import setting_up
from annotation.api import base
from annotation.views import signing_in
from labelapp.pages import finding

admin.autodiscover()

urlpatterns = [
    path("", include("annotation.urls")),
    path("p/<slug:slug>/", include(active_learning.urls.project)),
    path("p/<slug:slug>/find/", finding.find, name="find"),
    path("find/", finding.find_on_site, name="find-on-site"),
    path("p/<slug:slug>/rounds/", include("active_learning.urls")),
    path("p/<slug:slug>/models/", include(active_learning.urls.models)),
    path("p/<slug:slug>/solutions/", include(active_learning.urls.solutions)),
    path("p/<slug:slug>/review/", include(active_learning.urls.review)),
    path("experiments/", include(active_learning.urls.experiments)),
    path("set-up/<str:set_up_token>/", setting_up.set_up, name="set-up"),
    path("sign-in/", signing_in.SignIn.as_view(), name="sign-in"),
    path("sign-in/link/", signing_in.SignInByLink.as_view(), name="sign-in-link"),
    path("sign-in/code/", signing_in.enter_code, name="sign-in-code"),
    path("sign-in/second-factor/", signing_in.set_up_first, name="sign-in-set-up"),
    path("sign-in/who/", signing_in.who, name="who"),
    path("sign-out/", LogoutView.as_view(), name="sign-out"),
    path("api/v1/", include(annotation.api.urls)),
    path("api/v1/", include(active_learning.api.urls)),
    re_path(r"^api/(?P<rest>[\s\S]*)$", base.NowhereView.as_view(), name="api-nowhere"),
    path("admin/login/", signing_in.sign_in_to_administration),
    path("admin/password_change/", RedirectView.as_view(pattern_name="account")),  # there wrong passwords are counted
    path("admin/", admin.site.urls),
]

handler400 = "labelapp.http.bad_requests.bad_request"
handler500 = "labelapp.outermost.server_error"
